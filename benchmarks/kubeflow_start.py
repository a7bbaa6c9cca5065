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

import psutil
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
    """How a process starts.

    Attributes:
        seconds: from its start to its first work, as a clock on the wall shows.
        cpu_seconds: processor time that it used until then; the same on a busy machine.
    """

    seconds: float
    cpu_seconds: float


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
        starts = {
            stage: _median([_measure(each) for _ in range(settings.repeats)])
            for stage, each in arguments.items()
        }
    slowest, (start, _) = max(starts.items(), key=lambda item: item[1][0].seconds)
    ours, stock = ([pair[side] for pair in starts.values()] for side in (0, 1))
    figures = [
        Figure(f"slowest stage to first work ({slowest})", start.seconds, "s", MAX_SECONDS),
        Figure(
            "all stages, times TFX's entry point",
            ratio(sum(each.seconds for each in ours), sum(each.seconds for each in stock)),
            "",
            MAX_RATIO,
        ),
        Figure(
            "all stages, times TFX's entry point, CPU",
            ratio(sum(each.cpu_seconds for each in ours), sum(each.cpu_seconds for each in stock)),
        ),
    ]
    for stage, pair in starts.items():
        for name, each in zip(("ours", "TFX's"), pair, strict=True):
            figures.append(Figure(f"{stage}: {name}", each.seconds, "s"))
            figures.append(Figure(f"{stage}: {name}, CPU", each.cpu_seconds, "s"))
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


def start_until(command: Sequence[str], mark: str) -> Start:
    """Start a command, wait until it says something, and end it.

    Args:
        command: program and arguments.
        mark: text in one of its lines, on stdout or stderr.

    Returns:
        What it took until the line was there.

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
                times = psutil.Process(process.pid).cpu_times()
                process.kill()
                return Start(round(seconds, 2), round(times.user + times.system, 2))
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


def _measure(arguments: list[str]) -> tuple[Start, Start]:
    os.sync()
    ours = [sys.executable, "-m", "pipeline.kubeflow.entrypoint", *arguments]
    stock = [sys.executable, "-m", STOCK_ENTRY_POINT, *arguments]
    return start_until(ours, OUR_MARK), start_until(stock, STOCK_MARK)


def _median(pairs: list[tuple[Start, Start]]) -> tuple[Start, Start]:
    ours, stock = (
        Start(
            statistics.median(each.seconds for each in side),
            statistics.median(each.cpu_seconds for each in side),
        )
        for side in zip(*pairs, strict=True)
    )
    return ours, stock
