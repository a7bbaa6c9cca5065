"""kill -9 in the middle of a stage: nothing half-done shows, and the next run goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "pipeline", "run", "--config", "smoke"]
SETTINGS = ["train.width_multiplier=3.0", "train.epochs=2", "infra.num_examples=1"]


def start(workspace, photos, *more_settings):
    options = [option for each in [*SETTINGS, *more_settings] for option in ("--set", each)]
    return subprocess.Popen(
        [*COMMAND, "--workspace", str(workspace), "--data", str(photos), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def words(output):
    """The text of a panel without its frame and line breaks."""
    return " ".join(output.replace("│", " ").split())


def wait_for(process, condition):
    deadline = time.monotonic() + 400
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.001)


def has_started(workspace, stage):
    """Function that tells whether a stage of the newest run is at work."""

    def check():
        folders = sorted((workspace / "runs").glob("2*"))
        events = folders[-1] / "events.jsonl" if folders else None
        if events is None or not events.exists():
            return False
        lines = events.read_text().splitlines()
        return any(f'"kind": "started", "stage": "{stage}"' in line for line in lines)

    return check


def is_copying(workspace):
    serving = workspace / "serving" / "loupe"
    return lambda: (
        serving.is_dir() and any(n.startswith(".incomplete") for n in os.listdir(serving))
    )


def versions(workspace):
    serving = workspace / "serving" / "loupe"
    return [name for name in os.listdir(serving) if name.isdecimal()] if serving.is_dir() else []


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("killed")


@pytest.mark.parametrize("stage", ["Transform", "Trainer", "Pusher"])
def test_a_run_killed_in_a_stage_leaves_no_version(workspace, photos, stage):
    process = start(workspace, photos)
    condition = is_copying(workspace) if stage == "Pusher" else has_started(workspace, stage)
    wait_for(process, condition)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert versions(workspace) == []


def test_the_next_run_finishes_the_job_and_redoes_only_what_was_not_done(workspace, photos):
    process = start(workspace, photos)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    summary = json.loads((workspace / "runs" / "latest" / "summary.json").read_text())
    redone = {stage["name"] for stage in summary["stages"] if not stage["cached"]}
    assert redone == {"Pusher", "LastBlessedModel"}
    assert versions(workspace) == [str(summary["version"])]
    assert os.listdir(workspace / "serving" / "loupe") == [str(summary["version"])]


def test_a_killed_pipeline_process_is_reported_by_the_one_that_watches(workspace, photos):
    process = start(workspace, photos)
    wait_for(process, lambda: psutil.Process(process.pid).children())
    (child,) = psutil.Process(process.pid).children()
    child.kill()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL
    assert "ended by SIGKILL" in words(output)
    assert "out-of-memory" in words(output)


def test_a_second_run_in_a_workspace_is_told_to_wait(workspace, photos):
    process = start(workspace, photos, "train.seed=99")
    wait_for(process, has_started(workspace, "Trainer"))
    second = start(workspace, photos)
    output, _ = second.communicate(timeout=60)
    first_output, _ = process.communicate(timeout=300)
    assert second.returncode == 2
    assert "is in use by process" in words(output)
    assert process.returncode == 0, first_output


def test_an_interrupted_run_says_how_to_go_on(workspace, photos):
    process = start(workspace, photos, "train.seed=100")
    wait_for(process, has_started(workspace, "Trainer"))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in words(output)
    assert "finished stages are not redone" in words(output)
