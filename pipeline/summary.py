"""summary.json: what a run came to, for programs and for the panel at its end."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.events import FINISHED, STARTED, read_events

SUMMARY_FILENAME = "summary.json"
PUSHED = "pushed"
NOT_BLESSED = "not_blessed"
FAILED = "failed"
EXIT_PUSHED = 0
EXIT_NOT_BLESSED = 3


@dataclass(frozen=True)
class StageSummary:
    """One stage of a run.

    Attributes:
        name: node id.
        seconds: how long it took.
        cached: whether its result was there already.
    """

    name: str
    seconds: float
    cached: bool


@dataclass(frozen=True)
class RunSummary:
    """What a run came to.

    Attributes:
        status: pushed, not_blessed or failed.
        exit_code: status of the process.
        seconds: how long the run took.
        version: the version pushed; 0 when none was.
        model_dir: its folder; empty when none was pushed.
        metrics: the candidate's metrics on the test split.
        baseline_metrics: the last blessed model's on the same images.
        per_class: precision and recall of the candidate by class.
        slices: metrics of the candidate by slice, such as `brightness:dark`.
        reasons: why it was not blessed.
        quarantined: files that were left out, with their reasons.
        data: counts of images, classes, splits and duplicates.
        anomalies: what ExampleValidator found.
        infra: what the trial serving measured.
        stages: name, seconds and cached of every stage, in order.
        failed_stage: the stage that failed; empty when none did.
        error: why it failed, in one sentence.
        log_file: the whole log.
    """

    status: str
    exit_code: int
    seconds: float = 0.0
    version: int = 0
    model_dir: str = ""
    metrics: dict[str, float | None] = field(default_factory=dict[str, float | None])
    baseline_metrics: dict[str, float | None] = field(default_factory=dict[str, float | None])
    per_class: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    slices: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    reasons: list[str] = field(default_factory=list[str])
    quarantined: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    anomalies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    infra: dict[str, Any] = field(default_factory=dict[str, Any])
    stages: list[StageSummary] = field(default_factory=list[StageSummary])
    failed_stage: str = ""
    error: str = ""
    log_file: str = ""


def time_stages(events_file: Path) -> list[StageSummary]:
    """Measure the stages from a run's events.

    Args:
        events_file: the run's events.

    Returns:
        Every stage that finished, in order.
    """
    started: dict[str, float] = {}
    stages: list[StageSummary] = []
    for event, _ in read_events(events_file):
        if event.kind == STARTED:
            started[event.stage] = event.seconds
        elif event.kind == FINISHED:
            seconds = round(event.seconds - started[event.stage], 2)
            stages.append(StageSummary(event.stage, seconds, event.is_cached))
    return stages


def write_summary(folder: Path, summary: RunSummary) -> None:
    """Write the summary, whole or not at all.

    Args:
        folder: folder of the run.
        summary: what the run came to.
    """
    temporary = folder / f".{SUMMARY_FILENAME}"
    temporary.write_text(json.dumps(asdict(summary), indent=1) + "\n", encoding="utf-8")
    temporary.rename(folder / SUMMARY_FILENAME)


def read_summary(folder: Path) -> RunSummary | None:
    """Read a run's summary.

    Args:
        folder: folder of the run.

    Returns:
        The summary; None while the run has none.
    """
    path = folder / SUMMARY_FILENAME
    if not path.exists():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    values["stages"] = [StageSummary(**stage) for stage in values["stages"]]
    return RunSummary(**values)
