"""The live table of a run's stages."""

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.events import DONE, FINISHED, PROGRESS, STARTED, WARNING, Event

HIDDEN_STAGES = ("LastBlessedModel",)
"""Not a stage to a person: it looks up the baseline."""
STAGES = (
    "Data",
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Tuner",
    "Trainer",
    "Evaluator",
    "InfraValidator",
    "Pusher",
)
BAR_WIDTH = 24


@dataclass
class StageView:
    """What is shown of one stage.

    Attributes:
        started: seconds since 1970; 0 before it starts.
        finished: seconds since 1970; 0 while it runs.
        is_cached: whether its result was there already.
        text: its newest message.
        share_done: 0..1; None when it does not count.
        num_warnings: warnings so far.
    """

    started: float = 0.0
    finished: float = 0.0
    is_cached: bool = False
    text: str = ""
    share_done: float | None = None
    num_warnings: int = 0


@dataclass
class RunView:
    """What is shown of a run.

    Attributes:
        stages: by name, in order.
        status: empty while the run goes on.
        news: lines not yet printed where nothing can be redrawn.
    """

    stages: dict[str, StageView] = field(
        default_factory=lambda: {name: StageView() for name in STAGES}
    )
    status: str = ""
    news: list[str] = field(default_factory=list[str])

    def take(self, event: Event) -> None:
        """Note an event.

        Args:
            event: the next one.
        """
        if event.stage in HIDDEN_STAGES:
            return
        stage = self.stages.setdefault(event.stage, StageView())
        if event.kind in {STARTED, PROGRESS} and not stage.started:
            self._finish_data(event)
            stage.started = event.seconds
        if event.kind == FINISHED:
            stage.finished = event.seconds
            stage.is_cached = event.is_cached
            self.news.append(f"{event.stage}: {_outcome(stage)}")
        elif event.kind == WARNING:
            stage.num_warnings += 1
            self.news.append(f"{event.stage}: warning: {event.text}")
        elif event.kind == PROGRESS:
            stage.text = event.text
            if event.progress:
                stage.share_done = event.progress["done"] / max(event.progress["total"], 1)
        elif event.kind == DONE:
            self.status = event.text

    def _finish_data(self, event: Event) -> None:
        data = self.stages["Data"]
        if event.stage != "Data" and data.started and not data.finished:
            data.finished = event.seconds


@contextlib.contextmanager
def show_live(console: Console, view: RunView) -> Generator[Callable[[], None]]:
    """Show a run while a block runs.

    Args:
        console: a terminal gets a table that redraws itself, anything else a line per event.
        view: what to show.

    Yields:
        A function that shows what the view holds now.
    """
    if not console.is_terminal:

        def print_news() -> None:
            for line in view.news:
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            view.news.clear()

        yield print_news
        return
    spinner = Spinner("dots")
    with Live(console=console, refresh_per_second=8) as live:
        yield lambda: live.update(render(view, time.time(), spinner))


def render(view: RunView, now: float, spinner: Spinner) -> Table:
    """Draw the table.

    Args:
        view: what to show.
        now: seconds since 1970.
        spinner: what turns beside the running stage.

    Returns:
        One row per stage.
    """
    table = Table(box=None, padding=(0, 1), show_header=False, expand=True)
    table.add_column(width=1)
    table.add_column(width=16, no_wrap=True)
    table.add_column(justify="right", width=9, no_wrap=True)
    table.add_column(width=BAR_WIDTH)
    table.add_column(ratio=1, overflow="ellipsis", no_wrap=True)  # only the message is shortened
    names = list(view.stages)
    reached = max((n for n, name in enumerate(names) if view.stages[name].started), default=-1)
    for position, (name, stage) in enumerate(view.stages.items()):
        if not stage.started:
            # Passed over, which only a stage is that the settings leave out.
            outcome = "off" if position < reached else ""
            table.add_row(" ", Text(name, "dim"), Text(outcome, "dim"), "", "")
        elif stage.finished:
            style = "cyan" if stage.is_cached else "green"
            mark = "✓" if not stage.num_warnings else "!"
            outcome = "cached" if stage.is_cached else f"{stage.finished - stage.started:.1f} s"
            text = Text(stage.text, "dim")
            table.add_row(
                Text(mark, style if mark == "✓" else "yellow"), name, Text(outcome, style), "", text
            )
        else:
            bar = "" if stage.share_done is None else _bar(stage.share_done)
            seconds = f"{now - stage.started:.0f} s"
            marker = Text("✗", "bold red") if view.status == "failed" else spinner
            table.add_row(marker, Text(name, "bold"), seconds, bar, stage.text)
    return table


def _bar(share: float) -> ProgressBar:
    return ProgressBar(total=1.0, completed=min(share, 1.0), width=BAR_WIDTH - 2)


def _outcome(stage: StageView) -> str:
    if stage.is_cached:
        return "cached"
    text = f", {stage.text}" if stage.text else ""
    return f"{stage.finished - stage.started:.1f} s{text}"
