"""How long a task of the pipeline takes from the start of its container to its first work."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.figures import Figure, Result, ratio
from benchmarks.processes import measure_command
from benchmarks.runs import SHOWN_CHARACTERS, BenchmarkSettings, fresh_folder
from configs.errors import StageError
from configs.load import REPOSITORY_ROOT

CONFIG = "kubeflow-smoke"
STOCK_ENTRY_POINT = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"
OUR_MARK = " starts, "
STOCK_MARK = "Starting executor"
"""What each entry point logs right before it calls the executor."""
MAX_SECONDS = 12.0
MAX_RATIO = 12 / 17
"""Seconds promised against seconds that TFX's took when they were."""
HEAVIEST_STAGE = "Evaluator"


@dataclass(frozen=True)
class Start:
    """How a task starts.

    Attributes:
        stage: name of the stage.
        ours: seconds until its executor is called, with our entry point.
        stock: the same with TFX's.
    """

    stage: str
    ours: float
    stock: float


def kubeflow_start(settings: BenchmarkSettings) -> Result:
    """Start every stage as Kubeflow would, with our entry point and with TFX's, and do no work.

    What an executor imports once it is called is its work here, on both sides; the benchmark
    kubeflow_overhead holds whole tasks against each other.

    Args:
        settings: repeats; the median counts.

    Returns:
        Seconds of the slowest stage, and the ratio to TFX's entry point over all stages.
    """
    with fresh_folder(settings) as folder:
        arguments = _arguments_by_stage(compile_pipeline(folder / "pipeline.yaml"), folder)
        _measure(arguments[HEAVIEST_STAGE])  # files in memory, for both
        starts = [
            _median(stage, [_measure(each) for _ in range(settings.repeats)])
            for stage, each in arguments.items()
        ]
    slowest = max(starts, key=lambda start: start.ours)
    figures = [
        Figure(f"slowest stage to first work ({slowest.stage})", slowest.ours, "s", MAX_SECONDS),
        Figure(
            "all stages, times TFX's entry point",
            ratio(sum(start.ours for start in starts), sum(start.stock for start in starts)),
            "",
            MAX_RATIO,
        ),
    ]
    for start in starts:
        figures.append(Figure(f"{start.stage}: ours", start.ours, "s"))
        figures.append(Figure(f"{start.stage}: TFX's", start.stock, "s"))
    return Result("kubeflow_start", figures, {"repeats": settings.repeats})


def compile_pipeline(path: Path, overrides: Sequence[str] = ()) -> Path:
    """Compile the small pipeline, as a user would.

    Args:
        path: the YAML file to write.
        overrides: settings on top of the config kubeflow-smoke.

    Returns:
        The same path.

    Raises:
        StageError: it could not be compiled.
    """
    command = [sys.executable, "-m", "pipeline", "kubeflow", "compile", "--config", CONFIG]
    command += ["--output", str(path)]
    command += [part for setting in overrides for part in ("--set", setting)]
    log = path.with_suffix(".log")
    cost = measure_command(command, log)
    if cost.exit_code:
        words = " ".join(log.read_text(errors="replace").split())[-SHOWN_CHARACTERS:]
        raise StageError(f"compile ended with status {cost.exit_code}: {words}")
    return path


def seconds_until(command: Sequence[str], mark: str) -> float:
    """Start a command, wait until it says something, and end it.

    Args:
        command: program and arguments.
        mark: text in one of its lines, on stdout or stderr.

    Returns:
        Seconds from its start until the line is there.

    Raises:
        StageError: it ended without saying so.
    """
    started = time.monotonic()
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=REPOSITORY_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            if mark in line:
                seconds = time.monotonic() - started
                process.kill()
                return seconds
            lines.append(line)
    words = " ".join("".join(lines).split())[-SHOWN_CHARACTERS:]
    raise StageError(f"'{command[-1][:80]}' ended without '{mark.strip()}': {words}")


def _arguments_by_stage(compiled: Path, folder: Path) -> dict[str, list[str]]:
    spec: dict[str, Any] = next(yaml.safe_load_all(compiled.read_text(encoding="utf-8")))
    executor_input = {"outputs": {"outputFile": str(folder / "task" / "output_metadata.json")}}
    return {
        label.removesuffix("_executor"): [
            argument.replace("{{$}}", json.dumps(executor_input))
            for argument in executor["container"]["args"]
        ]
        for label, executor in spec["deploymentSpec"]["executors"].items()
    }


def _measure(arguments: list[str]) -> tuple[float, float]:
    os.sync()
    ours = [sys.executable, "-m", "pipeline.kubeflow.entrypoint", *arguments]
    stock = [sys.executable, "-m", STOCK_ENTRY_POINT, *arguments]
    return seconds_until(ours, OUR_MARK), seconds_until(stock, STOCK_MARK)


def _median(stage: str, pairs: list[tuple[float, float]]) -> Start:
    ours, stock = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Start(stage, round(ours, 2), round(stock, 2))
