"""What it costs to run each stage in a container of its own instead of in one process."""

import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Result, ratio
from benchmarks.kubeflow_start import CONFIG, compile_pipeline
from benchmarks.processes import measure_command
from benchmarks.runs import BenchmarkSettings, fresh_folder, last_json_line, level_disk
from configs.errors import StageError
from configs.load import REPOSITORY_ROOT
from configs.types import SampleConfig
from configs.workspace import Workspace
from data.synthetic import draw_sample_data
from pipeline.summary import RunSummary, StageSummary, read_summary

REPLAY = REPOSITORY_ROOT / "tests" / "kubeflow" / "replay.py"
NUM_IMAGES = 400
SUCCEEDED = "SUCCEEDED"


def kubeflow_overhead(settings: BenchmarkSettings) -> Result:
    """Run the small pipeline on this machine and as Kubeflow would, and compare each stage.

    The replay of Kubeflow does what driver and launcher do (copies in and out, a process per task)
    but schedules no pods and pulls no images, so that a cluster takes longer.

    Args:
        settings: where the work goes.

    Returns:
        Seconds more per stage, and both of both.
    """
    with fresh_folder(settings) as folder:
        data = draw_sample_data(folder / "images", SampleConfig(num_images=NUM_IMAGES, seed=7))
        level_disk(data)
        local = _run_locally(data, folder / "workspace")
        level_disk(data)
        tasks = _replay(data, folder)
    overheads = overhead_by_stage(local.stages, tasks)
    local_seconds = sum(stage.seconds for stage in local.stages)
    replay_seconds = sum(task["seconds"] for task in tasks)
    return Result(
        "kubeflow_overhead",
        [
            Figure(
                "median stage: seconds more than locally",
                statistics.median(overheads.values()),
                "s",
            ),
            Figure("all stages, times those of a local run", ratio(replay_seconds, local_seconds)),
            Figure("local run: stages", local_seconds, "s"),
            Figure("local run: whole, with its start", local.seconds, "s"),
            Figure("replay: tasks", replay_seconds, "s"),
            *(Figure(f"{name}: more", seconds, "s") for name, seconds in overheads.items()),
        ],
        {
            "local": {stage.name: stage.seconds for stage in local.stages},
            "replay": {task["name"]: task["seconds"] for task in tasks},
        },
    )


def overhead_by_stage(stages: list[StageSummary], tasks: list[dict[str, Any]]) -> dict[str, float]:
    """Compare stages with tasks of the same name.

    Args:
        stages: of a local run.
        tasks: of a replay, with `name` and `seconds`.

    Returns:
        Seconds more in the replay; stages that only one of them has are left out.
    """
    local = {stage.name: stage.seconds for stage in stages}
    return {
        task["name"]: round(task["seconds"] - local[task["name"]], 2)
        for task in tasks
        if task["name"] in local
    }


def _run_locally(data: Path, workspace: Path) -> RunSummary:
    workspace.mkdir()
    command = [sys.executable, "-m", "pipeline", "run", "--config", CONFIG, "--data", str(data)]
    command += ["--workspace", str(workspace), "--set", f"push.folder={workspace / 'pushed'}"]
    output = workspace / "loupe.txt"
    cost = measure_command(command, output)
    summary = read_summary(Workspace(workspace).latest_run)
    if cost.exit_code or summary is None:
        raise StageError(f"the local run ended with status {cost.exit_code}: see '{output}'.")
    return summary


def _replay(data: Path, folder: Path) -> list[dict[str, Any]]:
    models, mounts = folder / "models", folder / "mnt"
    models.mkdir()
    compiled = compile_pipeline(
        folder / "pipeline.yaml",
        [
            f"kubeflow.data={{claim: loupe-data, path: {mounts}/data}}",
            f"kubeflow.data_root={mounts}/data",
            f"kubeflow.models={{claim: loupe-models, path: {mounts}/models}}",
            f"push.folder={mounts}/models/loupe",
        ],
    )
    command = [sys.executable, str(REPLAY), str(compiled), str(folder / "cluster")]
    command += ["--parameter", "data_version=1"]
    command += ["--volume", f"loupe-data={data}", "--volume", f"loupe-models={models}"]
    output = folder / "replay.txt"
    measure_command(command, output)
    report = last_json_line(output)
    if report is None or report["state"] != SUCCEEDED:
        raise StageError(f"the replay did not succeed: see '{output}'.")
    return report["tasks"]
