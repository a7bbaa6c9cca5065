"""Runs of Loupe and of the plain script, each a process tree of its own that is measured."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Cost, measure_command
from configs.errors import ConfigError, StageError
from configs.workspace import Workspace
from pipeline.summary import EXIT_NOT_BLESSED, EXIT_PUSHED, RunSummary, read_summary

CONFIG = "bench-60k"
LOUPE_OUTPUT = "loupe.txt"
PLAIN_OUTPUT = "plain.txt"
SHOWN_CHARACTERS = 600


@dataclass(frozen=True)
class BenchmarkSettings:
    """What the command line told every benchmark.

    Attributes:
        folder: images that are kept and work that is removed go below it.
        num_images: small JPEGs of the large data set.
        repeats: how often ours and the peer alternate; the median counts.
        shared_data: folder with the real photos.
    """

    folder: Path
    num_images: int
    repeats: int
    shared_data: Path


@dataclass(frozen=True)
class LoupeRun:
    """One `loupe run`.

    Attributes:
        cost: of the whole process tree.
        summary: what the run says of itself.
        transformed_bytes: size of the transformed examples on disk.
    """

    cost: Cost
    summary: RunSummary
    transformed_bytes: int

    @property
    def bytes_per_image(self) -> float:
        """Transformed bytes of one image; the test split is not transformed."""
        counts: dict[str, int] = self.summary.data["images_per_split"]
        return self.transformed_bytes / (counts["train"] + counts["validation"])


@dataclass(frozen=True)
class PlainRun:
    """One run of the plain script.

    Attributes:
        cost: of the whole process tree.
        report: the line that the script printed.
    """

    cost: Cost
    report: dict[str, Any]


@contextlib.contextmanager
def fresh_folder(settings: BenchmarkSettings) -> Generator[Path]:
    """Make a folder for one benchmark's work.

    Args:
        settings: where it goes.

    Yields:
        The folder. It is removed afterwards, but kept when the benchmark failed, for its logs.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=settings.folder))
    yield folder
    shutil.rmtree(folder)


def level_disk(data: Path) -> None:
    """Give both sides the same disk: files in memory, nothing left to write.

    Args:
        data: folder whose files are read once.
    """
    for folder, _, names in os.walk(data, followlinks=True):
        for name in names:
            Path(folder, name).read_bytes()
    os.sync()


def run_loupe(data: Path, workspace: Path, overrides: Sequence[str] = ()) -> LoupeRun:
    """Run the pipeline as a user would.

    Args:
        data: the images.
        workspace: everything is written below it.
        overrides: settings on top of the config bench-60k, such as `train.max_steps=200`.

    Returns:
        What it cost and what it says.

    Raises:
        StageError: the run failed.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    command = [str(_loupe_command()), "run", "--config", CONFIG]
    command += ["--data", str(data), "--workspace", str(workspace)]
    command += [part for setting in overrides for part in ("--set", setting)]
    output = workspace / LOUPE_OUTPUT
    cost = measure_command(command, output)
    summary = read_summary(Workspace(workspace).latest_run)
    if summary is None or cost.exit_code not in {EXIT_PUSHED, EXIT_NOT_BLESSED}:
        cause = summary.error if summary else _last_words(output)
        raise StageError(_describe_failure("loupe run", cost, output, cause))
    return LoupeRun(cost, summary, _transformed_bytes(Workspace(workspace)))


def run_plain(data: Path, folder: Path, options: Sequence[str] = ()) -> PlainRun:
    """Run the plain Keras script.

    Args:
        data: the images.
        folder: gets its SavedModel and what it printed.
        options: further options, such as `--max-steps 200`.

    Returns:
        What it cost and what it says.

    Raises:
        StageError: the script failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.plain_keras", "--data", str(data)]
    output = folder / PLAIN_OUTPUT
    cost = measure_command([*command, "--output", str(folder / "model"), *options], output)
    report = last_json_line(output)
    if cost.exit_code or report is None:
        cause = _last_words(output)
        raise StageError(_describe_failure("benchmarks.plain_keras", cost, output, cause))
    return PlainRun(cost, report)


def last_json_line(output_file: Path) -> dict[str, Any] | None:
    """Read the report of a script from among its log lines.

    Args:
        output_file: everything the script printed.

    Returns:
        The last line that is a JSON object; None when there is none.
    """
    for line in reversed(output_file.read_text(errors="replace").splitlines()):
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(line)
    return None


def _loupe_command() -> Path:
    command = Path(sys.executable).with_name("loupe")
    if not command.exists():
        raise ConfigError(f"'{command}' does not exist, expected the console script. Make setup.")
    return command


def _transformed_bytes(workspace: Workspace) -> int:
    shards = (workspace.artifacts / "Transform" / "transformed_examples").glob("*/Split-*/*")
    return sum(path.stat().st_size for path in shards)


def _last_words(output: Path) -> str:
    return " ".join(output.read_text(errors="replace").split())[-SHOWN_CHARACTERS:]


def _describe_failure(name: str, cost: Cost, output: Path, cause: str) -> str:
    return (
        f"{name} ended with status {cost.exit_code}, so nothing was measured: {cause or 'no word'} "
        f"(its output is in '{output}')"
    )
