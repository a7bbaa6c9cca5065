"""What later runs in the same workspace do; each builds on the first run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALL = {
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Evaluator",
    "InfraValidator",
    "Pusher",
}


def test_unchanged_data_is_all_cache(loupe_run, first_run, photos):
    version = first_run.summary["version"]
    again = loupe_run(first_run.workspace, "--data", str(photos))
    assert again.exit_code == 0, again.output
    assert again.cached >= ALL
    assert again.summary["version"] == version
    assert again.summary["metrics"] == first_run.summary["metrics"]


@pytest.mark.parametrize("engine", ["local", "beam"])
def test_the_tfx_command_line_creates_compiles_lists_and_runs(
    engine, first_run, newest_run, photos, tmp_path
):
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LOUPE_CONFIG": "smoke",
        "LOUPE_DATA": str(photos),
        "LOUPE_WORKSPACE": str(first_run.workspace),
    }

    def tfx(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "tfx.tools.cli.cli_main", *arguments, f"--engine={engine}"],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    runs_before = set((first_run.workspace / "runs").iterdir())
    path = f"--pipeline_path=pipeline/{engine}_runner.py"
    assert 'Pipeline "loupe" created successfully' in tfx("pipeline", "create", path)
    if engine == "local":  # TFX's own code is the same for both, and each command takes 15 s
        assert "compiled successfully" in tfx("pipeline", "compile", path)
        assert "loupe" in tfx("pipeline", "list")
    tfx("run", "create", "--pipeline_name=loupe")
    run = newest_run(first_run.workspace)
    assert run.summary["status"] == "pushed"
    assert run.cached >= ALL
    assert set((first_run.workspace / "runs").iterdir()) > runs_before


def test_a_bar_that_is_missed_pushes_nothing_and_says_why(loupe_run, first_run, photos):
    versions = set((first_run.workspace / "serving" / "loupe").iterdir())
    run = loupe_run(
        first_run.workspace, "--data", str(photos), "--set", "evaluation.min_accuracy=0.99"
    )
    assert run.exit_code == 3
    assert run.summary["status"] == "not_blessed"
    assert run.summary["version"] == 0
    (reason,) = run.summary["reasons"]
    assert "needed at least 0.9900 (evaluation.min_accuracy)" in reason
    assert "needed at least 0.9900" in " ".join(run.output.replace("│", " ").split())
    assert set((first_run.workspace / "serving" / "loupe").iterdir()) == versions


def test_a_new_model_is_measured_against_the_last_blessed_one(loupe_run, first_run, photos):
    before = first_run.summary["metrics"]
    settings = ["tune.enabled=true", "tune.max_trials=2", "tune.epochs=1", "train.seed=11"]
    options = [option for setting in settings for option in ("--set", setting)]
    run = loupe_run(first_run.workspace, "--data", str(photos), *options)
    assert run.exit_code == 0, run.output
    assert run.summary["baseline_metrics"] == pytest.approx(before, abs=1e-4)
    assert not run.stage("Tuner")["cached"]
    assert "last blessed" in run.output
    manifest = json.loads((Path(run.summary["model_dir"]) / "manifest.json").read_text())
    assert manifest["hyperparameters"]["seed"] == 11
    tuned = manifest["hyperparameters"]["learning_rate"]
    (result,) = (first_run.workspace / "artifacts" / "Tuner").glob("best_hyperparameters/*/*")
    assert json.loads(result.read_text())["values"]["learning_rate"] == tuned


def test_a_past_search_can_be_imported_and_the_image_may_be_larger(loupe_run, first_run, photos):
    (search,) = (first_run.workspace / "artifacts" / "Tuner").glob("best_hyperparameters/*/*")
    settings = [
        f"tune.import_file={search}",
        "transform.height_pixels=224",
        "transform.width_pixels=224",
        "train.epochs=1",
        "evaluation.min_accuracy=0.0",
        "evaluation.min_balanced_gain=-1.0",
        "evaluation.min_gain_over_majority=-1.0",
    ]
    options = [option for setting in settings for option in ("--set", setting)]
    run = loupe_run(first_run.workspace, "--data", str(photos), *options)
    assert run.exit_code == 0, run.output
    manifest = json.loads((Path(run.summary["model_dir"]) / "manifest.json").read_text())
    values = json.loads(search.read_text())["values"]
    assert {name: manifest["hyperparameters"][name] for name in values} == values
    assert manifest["hyperparameters"]["epochs"] == 1


@pytest.mark.skipif(
    Path("/var/run/docker.sock").exists(), reason="a Docker engine is here: it would be asked"
)
def test_without_docker_its_platform_refuses_the_model(loupe_run, first_run, photos):
    run = loupe_run(first_run.workspace, "--data", str(photos), "--set", "infra.platform=docker")
    assert run.exit_code == 3, run.output
    assert run.summary["reasons"] == ["TFX's docker runner could not serve it; the log says why"]
    assert "docker" in Path(run.summary["log_file"]).read_text()


def test_a_deleted_version_is_pushed_again(loupe_run, first_run, photos):
    serving = first_run.workspace / "serving" / "loupe"
    shutil.rmtree(serving)
    run = loupe_run(first_run.workspace, "--data", str(photos))
    assert run.exit_code == 0, run.output
    assert run.cached >= ALL - {"Pusher"}
    assert Path(run.summary["model_dir"]).is_dir()


def test_a_server_that_cannot_start_refuses_the_model_each_time_anew(loupe_run, first_run, photos):
    setting = "infra.server_command=sh -c 'echo out of luck; exit 9'"
    for _ in range(2):
        run = loupe_run(first_run.workspace, "--data", str(photos), "--set", setting)
        assert run.exit_code == 3, run.output
        assert not run.stage("InfraValidator")["cached"]
        (reason,) = run.summary["reasons"]
        assert "ended with status 9" in reason
        assert "out of luck" in reason


def test_a_new_span_is_new_data_and_a_new_class_stops_at_the_frozen_schema(
    loupe_run, first_run, photos, tmp_path
):
    spans = tmp_path / "spans"
    shutil.copytree(photos, spans / "span-1")
    shutil.copytree(photos / "bag", spans / "span-2" / "bag")
    shutil.copytree(photos / "chair", spans / "span-2" / "novelty")
    (schema,) = sorted((first_run.workspace / "artifacts/SchemaGen/schema").glob("*/schema.pbtxt"))[
        :1
    ]
    # Read by processes, as large data is; nothing of the outcome depends on that.
    options = ("--set", f"validation.schema_file={schema}")
    options += ("--set", "beam.running_mode=multi_processing", "--set", "beam.num_workers=2")
    run = loupe_run(first_run.workspace, "--data", str(spans), *options)
    assert run.exit_code == 4
    assert run.summary["failed_stage"] == "ExampleValidator"
    events = (first_run.workspace / "runs/latest/events.jsonl").read_text()
    assert '"unit": "images"' in events
    assert not run.stage("ExampleGen")["cached"]
    assert run.summary["data"]["spans"] == [1, 2]
    assert "novelty" in run.summary["error"]
    assert "loupe schema freeze" in run.summary["error"]
    assert {anomaly["feature"] for anomaly in run.summary["anomalies"]} >= {"label"}


def test_too_many_broken_files_stop_the_run_and_are_all_told(loupe_run, first_run, photos):
    run = loupe_run(
        first_run.workspace, "--data", str(photos), "--set", "data.max_quarantine_share=0.001"
    )
    assert run.exit_code == 4
    assert run.summary["failed_stage"] == "ExampleGen"
    assert {Path(file["source"]).name for file in run.summary["quarantined"]} == {
        "empty.jpg",
        "truncated.jpg",
        "page.jpg",
    }
    assert "data.max_quarantine_share" in run.summary["error"]
