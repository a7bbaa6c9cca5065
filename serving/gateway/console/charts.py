"""Charts as SVG paths; templates draw them, so that they work without any script."""

import dataclasses
import datetime
import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

from serving.gateway.console.templating import NOTHING
from serving.gateway.console.windows import Window

WIDTH: Final = 1000
HEIGHT: Final = 240
_NUM_GAPS: Final = 4  # between grid lines
_NICE: Final = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0)
_NUM_TIMES: Final = 5
_DOT: Final = 8  # width of a value without neighbours


class ChartKind(StrEnum):
    """How series are drawn."""

    LINES = "lines"
    STACK = "stack"


@dataclasses.dataclass(frozen=True, slots=True)
class Series:
    """Values over time.

    Attributes:
        name: as in the legend; hostile text is welcome.
        colour: number of a colour of the style sheet, 1..6, the same for the same thing on every
            chart.
        values: one a step; None where nothing happened.
    """

    name: str
    colour: int
    values: Sequence[float | None]


@dataclasses.dataclass(frozen=True, slots=True)
class DrawnSeries:
    """A series on a chart.

    Attributes:
        name: as in the legend.
        colour: number of a colour of the style sheet.
        path: its SVG path.
        texts: the values as people read them, one a step.
        newest: the last value there is, as people read it.
    """

    name: str
    colour: int
    path: str
    texts: Sequence[str]
    newest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """A chart, ready to be drawn.

    Attributes:
        chart_id: unique on its page.
        title: what it shows.
        note: what the numbers mean.
        kind: how series are drawn.
        series: what is on it.
        levels: labels of the horizontal lines, from the top down.
        times: labels of the time axis.
        moments: one ISO moment a step, UTC; scripts show them in the viewer's own time.
        is_empty: whether there is nothing to see.
    """

    chart_id: str
    title: str
    note: str
    kind: ChartKind
    series: Sequence[DrawnSeries]
    levels: Sequence[str]
    times: Sequence[str]
    moments: Sequence[str]
    is_empty: bool


def make_chart(
    chart_id: str,
    title: str,
    note: str,
    series: Sequence[Series],
    *,
    window: Window,
    start: int,
    write: Callable[[float], str],
    kind: ChartKind = ChartKind.LINES,
    top: float | None = None,
) -> Chart:
    """Lay out a chart.

    Args:
        chart_id: unique on its page.
        title: what it shows.
        note: what the numbers mean.
        series: values, one a step of the window each; at least 0.
        window: what the time axis covers.
        start: when it begins, seconds since 1970.
        write: makes text of a value.
        kind: how series are drawn.
        top: value of the uppermost line; None for a round number above all values.

    Returns:
        The chart.
    """
    is_stack = kind is ChartKind.STACK
    if top is None:
        top = _round_up(_find_highest(series, is_stack=is_stack))
    floors = [0.0] * window.num_steps
    drawn: list[DrawnSeries] = []
    for one in series:
        path = _stack(one.values, floors, top) if is_stack else _line(one.values, top)
        texts = [NOTHING if value is None else write(value) for value in one.values]
        newest = next((text for text in reversed(texts) if text != NOTHING), NOTHING)
        drawn.append(DrawnSeries(one.name, one.colour, path, texts, newest))
    moments = [
        datetime.datetime.fromtimestamp(start + step * window.step_seconds, datetime.UTC)
        for step in range(window.num_steps)
    ]
    return Chart(
        chart_id=chart_id,
        title=title,
        note=note,
        kind=kind,
        series=drawn,
        levels=[
            write(top * place / _NUM_GAPS).replace(
                ".0\N{NARROW NO-BREAK SPACE}%", "\N{NARROW NO-BREAK SPACE}%"
            )
            for place in range(_NUM_GAPS, -1, -1)
        ],
        times=[
            moments[round(place * (window.num_steps - 1) / (_NUM_TIMES - 1))].isoformat()
            for place in range(_NUM_TIMES)
        ],
        moments=[moment.isoformat() for moment in moments],
        is_empty=all(not value for one in series for value in one.values),
    )


def _find_highest(series: Sequence[Series], *, is_stack: bool) -> float:
    if is_stack:
        columns = zip(*(one.values for one in series), strict=True)
        return max((sum(value or 0 for value in column) for column in columns), default=0)
    return max((value or 0 for one in series for value in one.values), default=0)


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((nice * power for nice in _NICE if nice * power >= value), 10 * power)


def _line(values: Sequence[float | None], top: float) -> str:
    parts: list[str] = []
    last = max(len(values) - 1, 1)
    for step, value in enumerate(values):
        if value is None:
            continue
        x = step * WIDTH / last
        y = HEIGHT - min(value / top, 1) * HEIGHT
        is_first = step == 0 or values[step - 1] is None
        parts.append(f"{'M' if is_first else 'L'}{x:.1f} {y:.1f}")
        if is_first and (step == len(values) - 1 or values[step + 1] is None):
            parts.append(f"m-{_DOT // 2} 0h{_DOT}")  # a line to nowhere would not be seen
    return "".join(parts)


def _stack(values: Sequence[float | None], floors: list[float], top: float) -> str:
    parts: list[str] = []
    width = WIDTH / len(values)
    for step, value in enumerate(values):
        if value:
            x, height = step * width, value / top * HEIGHT
            y = HEIGHT - floors[step] / top * HEIGHT
            parts.append(
                f"M{x + width * 0.1:.1f} {y:.1f}v{-height:.1f}h{width * 0.8:.1f}v{height:.1f}z"
            )
            floors[step] += value
    return "".join(parts)
