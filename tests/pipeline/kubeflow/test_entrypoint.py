import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 120
SECRET = "hunter2-token-of-a-secret"


def start(executor, tmp_path, parameters=None, spec=None):
    executor_input = {
        "inputs": {"parameterValues": parameters or {}},
        "outputs": {"outputFile": str(tmp_path / "task" / "output_metadata.json")},
    }
    definitions = {name: {"parameterType": "STRING"} for name in parameters or {}}
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pipeline.kubeflow.entrypoint",
            f"--executor_class_path=entrypoint_executors.{executor}",
            f"--json_serialized_invocation_args={json.dumps(executor_input)}",
            f"--json_serialized_inputs_spec_args={spec or json.dumps({'parameters': definitions})}",
            "--runner=DirectRunner",
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent),
            "LOUPE_KUBEFLOW_LOCAL_ROOT": str(tmp_path),
            "REGISTRY_PASSWORD": SECRET,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    output, _ = process.communicate(timeout=START_SECONDS)
    return process.returncode, output.splitlines()


def test_the_last_line_says_what_is_wrong_with_the_data(tmp_path):
    exit_code, lines = finish(start("BrokenData", tmp_path, {"token": SECRET}))
    assert exit_code == 4
    assert lines[-1] == "DataError: the data has 1 class, expected at least 2. Add images."
    assert any("RuntimeError: [while running 'ReadImages']" in line for line in lines)
    assert not any(SECRET in line for line in lines)
    assert not (tmp_path / "task" / "output_metadata.json").exists()


def test_a_stage_that_the_image_does_not_hold_is_named(tmp_path):
    exit_code, lines = finish(start("Absent", tmp_path))
    assert exit_code == 5
    assert "Absent" in lines[-1]
    assert lines[-1].startswith("StageError: AttributeError:")


def test_a_file_compiled_for_something_else_is_told_before_tensorflow_is_loaded(tmp_path):
    exit_code, lines = finish(start("BrokenData", tmp_path, spec="[1]"))
    assert exit_code == 5
    assert lines[-1].startswith("StageError: the ComponentInputsSpec of this task cannot be read")
    assert not any("cudart" in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="pods run Linux")
def test_sigterm_ends_the_stage_its_processes_and_its_files(tmp_path):
    notes = tmp_path / "notes"
    process = start("Endless", tmp_path, {"notes": str(notes)})
    deadline = time.monotonic() + START_SECONDS
    while not (notes.exists() and notes.read_text().count("\n") == 2):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    child, folder = notes.read_text().split()
    process.send_signal(signal.SIGTERM)
    exit_code, lines = finish(process)
    assert exit_code == 143
    assert lines[-1].startswith("the task was stopped (SIGTERM)")
    assert not psutil.pid_exists(int(child))
    assert not Path(folder).exists()
