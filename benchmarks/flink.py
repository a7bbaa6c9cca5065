"""What the Beam stages cost on Flink with two Python workers beside the direct runner."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Result, mebibytes, ratio
from benchmarks.flink_job_server import job_server_jar, running_job_server
from benchmarks.images_60k import make_images
from benchmarks.processes import Cost, measure_command
from benchmarks.runs import BenchmarkSettings, fresh_folder, last_json_line, level_disk
from configs.errors import StageError
from configs.load import REPOSITORY_ROOT

WORKERS = 2
OUTPUT = "stages.txt"
FLINK = (
    "beam.runner=FlinkRunner",
    "beam.flink.environment=EXTERNAL",
    f"beam.flink.workers_per_task_manager={WORKERS}",
    f"beam.flink.parallelism={WORKERS}",
)
PORTABLE = ("beam.runner=PortableRunner",)


def flink(settings: BenchmarkSettings) -> Result:
    """Compare ExampleGen, StatisticsGen and Transform on Flink with the direct runner.

    Args:
        settings: number of images.

    Returns:
        Ratio of the seconds, and the seconds of each stage of both.

    Raises:
        EnvironmentSetupError: there is no Java, or no job server is to be had.
        StageError: the job server did not start.
    """
    with fresh_folder(settings) as folder:
        jar = job_server_jar(folder)
        with running_job_server(jar, folder) as job_server, _worker_pool() as address:
            result = _compare(
                "flink",
                settings,
                (
                    *FLINK,
                    f"beam.flink.version={jar.flink_version}",
                    f"beam.flink.job_server={job_server}",
                    f"beam.flink.worker={address}",
                ),
            )
    versions = {"beam job server": jar.beam_version, "flink": jar.flink_version}
    return Result(result.name, result.figures, result.details | versions)


def portable_workers(settings: BenchmarkSettings) -> Result:
    """Compare the same stages with a worker process behind Beam's own job service, without Flink.

    Args:
        settings: number of images.

    Returns:
        As `flink`; what remains when the runner itself costs little: starting workers, which
        import TensorFlow anew for each job, and moving the data to them and back.
    """
    with _worker_pool() as address:
        flags = (
            "--job_endpoint=embed",
            "--environment_type=EXTERNAL",
            f"--environment_config={address}",
            "--sdk_container_image=unused",
        )
        listed = ", ".join(f'"{flag}"' for flag in flags)
        return _compare("portable_workers", settings, (*PORTABLE, f"beam.extra_args=[{listed}]"))


def _compare(name: str, settings: BenchmarkSettings, overrides: tuple[str, ...]) -> Result:
    settings.folder.mkdir(parents=True, exist_ok=True)
    data = make_images(settings.folder / f"bench-images-{settings.num_images}", settings.num_images)
    with fresh_folder(settings) as folder:
        runs = {
            "direct": _run(data, folder / "direct", ()),
            name: _run(data, folder / name, overrides),
        }
    (direct, peer), (ours, report) = runs.values()
    figures = [
        Figure("seconds, times the direct runner", ratio(report["seconds"], peer["seconds"])),
        *(
            Figure(f"{runner}: {stage}", found["stages"][stage], "s")
            for runner, (_, found) in runs.items()
            for stage in peer["stages"]
        ),
        Figure("direct: peak memory", mebibytes(direct.peak_tree_bytes), "MiB"),
        Figure(f"{name}: peak memory, workers apart", mebibytes(ours.peak_tree_bytes), "MiB"),
    ]
    details = {key: {**asdict(cost), **found} for key, (cost, found) in runs.items()}
    return Result(name, figures, details | {"images": settings.num_images})


def _run(data: Path, workspace: Path, overrides: tuple[str, ...]) -> tuple[Cost, dict[str, Any]]:
    workspace.mkdir(parents=True)
    level_disk(data)
    command = [sys.executable, "-m", "benchmarks.beam_stages", "--data", str(data)]
    command += ["--workspace", str(workspace)]
    command += [part for setting in overrides for part in ("--set", setting)]
    output = workspace / OUTPUT
    cost = measure_command(command, output)
    report = last_json_line(output)
    if cost.exit_code or report is None:
        raise StageError(
            f"benchmarks.beam_stages ended with status {cost.exit_code}, so nothing was measured "
            f"(its output is in '{output}')."
        )
    return cost, report


@contextlib.contextmanager
def _worker_pool() -> Generator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "components.beam_worker_pool", "--port", "0"],
        cwd=REPOSITORY_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        match = re.fullmatch(r"listening on (\S+)\n", line)
        if match is None:
            raise StageError(f"the worker pool said '{line.strip()}', expected where it listens.")
        yield match[1]
    finally:
        process.terminate()
        process.wait()
