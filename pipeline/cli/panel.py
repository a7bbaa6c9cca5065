"""The panel at the end of a run: what came out, and what to type next."""

import shlex
from pathlib import Path

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from configs.load import REPOSITORY_ROOT
from pipeline.summary import NOT_BLESSED, PUSHED, SUMMARY_FILENAME, RunSummary

SHOWN_METRICS = ("accuracy", "balanced_accuracy", "auc", "expected_calibration_error")
SHOWN_ROWS = 5
INSPECT_COMMAND = ".venv/bin/loupe inspect"
STYLES = {PUSHED: "green", NOT_BLESSED: "yellow"}


def print_outcome(console: Console, summary: RunSummary, folder: Path) -> None:
    """Print what a run came to.

    Args:
        console: where to print.
        summary: what it came to.
        folder: folder of the run.
    """
    parts = [Text(_headline(summary), "bold"), *_details(summary), *_next_steps(summary, folder)]
    style = STYLES.get(summary.status, "red")
    console.print(Panel(Group(*parts), title=_title(summary), border_style=style))


def _title(summary: RunSummary) -> str:
    return f"{summary.status.replace('_', ' ')} in {summary.seconds:.0f} s"


def _headline(summary: RunSummary) -> str:
    if summary.status == PUSHED:
        return f"Version {summary.version} is in {summary.model_dir}"
    if summary.status == NOT_BLESSED:
        return "Trained, but not pushed:"
    stage = f" in {summary.failed_stage}" if summary.failed_stage else ""
    return f"Failed{stage}: {summary.error}"


def _details(summary: RunSummary) -> list[Text | Table]:
    parts: list[Text | Table] = [Text(f"- {reason}") for reason in summary.reasons]
    if summary.metrics:
        parts.append(_metrics_table(summary))
    if summary.data:
        parts.append(Text(_data_line(summary)))
    parts += [
        Text(f"quarantined: {file['source']}: {file['reason']}", "yellow")
        for file in summary.quarantined[:SHOWN_ROWS]
    ]
    parts += [
        Text(f"anomaly: {anomaly['where']}: {anomaly['feature']}: {anomaly['message']}", "yellow")
        for anomaly in summary.anomalies[:SHOWN_ROWS]
    ]
    hidden = sum(max(len(x) - SHOWN_ROWS, 0) for x in (summary.quarantined, summary.anomalies))
    if hidden:
        parts.append(Text(f"and {hidden} more: `loupe inspect` shows all", "yellow"))
    return parts


def _metrics_table(summary: RunSummary) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("metric", style="dim")
    table.add_column("this model", justify="right")
    if summary.baseline_metrics:
        table.add_column("last blessed", justify="right")
        table.add_column("change", justify="right")
    for name in SHOWN_METRICS:
        value = summary.metrics.get(name)
        row = [name.replace("_", " "), _number(value)]
        if summary.baseline_metrics:
            before = summary.baseline_metrics.get(name)
            change = None if value is None or before is None else value - before
            row += [_number(before), "-" if change is None else f"{change:+.4f}"]
        table.add_row(*row)
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _data_line(summary: RunSummary) -> str:
    data = summary.data
    splits = ", ".join(f"{count} {name}" for name, count in data["images_per_split"].items())
    classes = len(data["images_per_class"])
    copies = data["duplicates"]
    return (
        f"{data['num_images']} images of {classes} classes ({splits}), "
        f"{data['num_quarantined']} quarantined; {copies['within_splits']} copies within splits, "
        f"{copies['across_splits']} across splits, {copies['near_across_splits']} near-duplicates "
        f"across splits, {copies['conflicting_labels']} filed under two classes"
    )


def _next_steps(summary: RunSummary, folder: Path) -> list[Text]:
    lines = [f"log: {summary.log_file}", f"facts: {folder / SUMMARY_FILENAME}"]
    workspace = folder.parent.parent
    is_default = workspace == REPOSITORY_ROOT / "workspace"
    serve = "make serve" + ("" if is_default else f" WORKSPACE={shlex.quote(str(workspace))}")
    inspect = f"{INSPECT_COMMAND}{'' if is_default else f' -w {shlex.quote(str(workspace))}'}"
    if summary.status == PUSHED:
        lines += [f"next: {serve}", f"every class and slice: {inspect}"]
    elif summary.status == NOT_BLESSED:
        lines += [f"next: every class and slice: {inspect}"]
    else:
        lines += ["next: mend it and run the same command again; finished stages are not redone"]
    return [Text(line, "dim") for line in lines]
