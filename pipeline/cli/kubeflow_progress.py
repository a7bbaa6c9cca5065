"""The progress of a run on Kubeflow, and the table of runs."""

import contextlib
from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from kfp_server_api import V2beta1Run

    from pipeline.kubeflow.runs import RunRow
    from pipeline.kubeflow.watch import StageProgress

STYLES = {
    "SUCCEEDED": "green",
    "FAILED": "bold red",
    "CANCELED": "red",
    "PENDING": "yellow",
    "RUNNING": "bold",
}
WORDS = {"PENDING": "waits for its pod"}

Reporter = Callable[["V2beta1Run", "list[StageProgress]"], None]


@contextlib.contextmanager
def show_run(console: Console, namespace: str) -> Generator[Reporter]:
    """Show a run while a block watches it.

    Args:
        console: a terminal gets a table that redraws itself, anything else a line per change.
        namespace: namespace of the run.

    Yields:
        A function that takes the run and its stages after each look.
    """
    from pipeline.kubeflow.watch import describe_stuck

    shown: dict[str, str] = {}
    warned: set[str] = set()

    def report_lines(run: "V2beta1Run", stages: "list[StageProgress]") -> None:
        for stage in stages:
            if shown.get(stage.name) != stage.state:
                shown[stage.name] = stage.state
                say(console, f"{stage.name}: {_state_text(stage)}")
        # Once per stage is enough in a log.
        stuck = describe_stuck(run, stages, namespace, datetime.now(UTC))
        if stuck and stuck.split()[0] not in warned:
            warned.add(stuck.split()[0])
            say(console, stuck)

    if not console.is_terminal:
        yield report_lines
        return
    with Live(console=console, refresh_per_second=4) as live:

        def report_table(run: "V2beta1Run", stages: "list[StageProgress]") -> None:
            stuck = describe_stuck(run, stages, namespace, datetime.now(UTC))
            live.update(render_stages(stages, stuck))

        yield report_table


def render_stages(stages: "Sequence[StageProgress]", note: str) -> Group:
    """Draw the stages of a run.

    Args:
        stages: those that have begun.
        note: what to say below them; empty for nothing.

    Returns:
        One row per stage, and the note.
    """
    table = Table(box=None, padding=(0, 1), show_header=False)
    for stage in stages:
        table.add_row(stage.name, Text(_state_text(stage), STYLES.get(stage.state, "")))
    if not stages:
        table.add_row("waiting for the first stage", "")
    return Group(table, Text(note, "yellow")) if note else Group(table)


def render_runs(rows: "Sequence[RunRow]", *, is_wide: bool) -> Table:
    """Draw the table of runs.

    Args:
        rows: the runs.
        is_wide: links fit; otherwise a word stands for each, which a terminal lets one click.

    Returns:
        One row per run.
    """
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for title in ("name", "state", "started (UTC)", "duration", "version", "data version", "link"):
        table.add_column(title, overflow="fold")
    for row in rows:
        started = row.started.strftime("%Y-%m-%d %H:%M:%S") if row.started else ""
        table.add_row(
            row.name,
            Text(row.state.lower(), STYLES.get(row.state, "")),
            started,
            duration_text(row.duration),
            row.version,
            row.data_version,
            Text(row.link if is_wide else "open", f"link {row.link}"),
        )
    return table


def duration_text(duration: timedelta | None) -> str:
    """Write a duration for people.

    Args:
        duration: the duration; None when unknown.

    Returns:
        Such as `1 h 02 min`, `3 min 04 s` or `5 s`; empty when unknown.
    """
    if duration is None:
        return ""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _state_text(stage: "StageProgress") -> str:
    word = WORDS.get(stage.state, stage.state.lower())
    took = duration_text(timedelta(seconds=stage.seconds))
    return f"{word}, {took}" if stage.seconds >= 1 else word


def say(console: Console, line: str) -> None:
    """Print a line as it is, without folding it.

    Args:
        console: where to print it.
        line: the line.
    """
    console.print(line, markup=False, highlight=False, soft_wrap=True)
