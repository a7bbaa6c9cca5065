"""What happens now: latency, errors and confidence."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from serving.gateway.console.access import Viewer, frame_page, need
from serving.gateway.console.charts import Chart, ChartKind, Series, make_chart
from serving.gateway.console.parts import ConsoleParts, Vitals, get_parts
from serving.gateway.console.routing import describe
from serving.gateway.console.statistics import (
    CONFIDENCE_BINS,
    Cell,
    Statistics,
    find_latency,
    group_by_step,
)
from serving.gateway.console.templating import (
    Pages,
    write_count,
    write_milliseconds,
    write_share,
)
from serving.gateway.console.windows import Window, find_window
from serving.gateway.errors import GatewayError
from serving.gateway.records import Route
from serving.gateway.scopes import Scope

_QUANTILES: Final = ((0.5, "p50", 1), (0.95, "p95", 3), (0.99, "p99", 4))
_SLOW_MS: Final = 200.0  # what users are promised
_STATUS_SERIES: Final = (("2xx", "answered", 2), ("4xx", "refused", 3), ("5xx", "failed", 4))
_FALLBACKS: Final = frozenset({Route.FALLBACK_DEFAULT.value, Route.FALLBACK_MODEL.value})
_Grouped = Sequence[Sequence[Cell]]


@dataclasses.dataclass(frozen=True, slots=True)
class Tile:
    """One number.

    Attributes:
        name: what it is.
        value: as people read it.
        note: what it means.
        tone: `plain`, `good`, `warning` or `bad`.
    """

    name: str
    value: str
    note: str
    tone: str


@dataclasses.dataclass(frozen=True, slots=True)
class LiveView:
    """What happens now.

    Attributes:
        window: what is shown.
        tiles: the numbers.
        charts: the charts.
        confidence: share of answers in each tenth of the probability, 0..1.
        problem: why the charts of the prediction log are missing; empty when they are not.
    """

    window: Window
    tiles: Sequence[Tile]
    charts: Sequence[Chart]
    confidence: Sequence[float]
    problem: str


def add_live_page(router: APIRouter, pages: Pages) -> None:
    """Add the routes: the page, and the part of it that is loaded again and again.

    Args:
        router: of the console.
        pages: renders templates.
    """

    async def render(request: Request, viewer: Viewer, window: str, template: str) -> Response:
        view = await _make_view(get_parts(request), find_window(window))
        return pages.render(template, frame=frame_page(request, viewer, "live"), view=view)

    @router.get("/live")
    async def show_live(
        request: Request, viewer: Annotated[Viewer, Depends(need(Scope.READ))], window: str = ""
    ) -> Response:
        return await render(request, viewer, window, "live.html")

    @router.get("/live/now")
    async def show_live_part(
        request: Request, viewer: Annotated[Viewer, Depends(need(Scope.READ))], window: str = ""
    ) -> Response:
        return await render(request, viewer, window, "live_now.html")


async def _make_view(parts: ConsoleParts, window: Window) -> LiveView:
    statistics, problem = None, ""
    try:
        statistics = await parts.statistics.read(window)
    except GatewayError as error:
        problem = describe(error)
    statuses = await asyncio.to_thread(parts.statuses.read, window)
    return make_live_view(window, statistics, problem, statuses, parts.read_vitals())


def make_live_view(
    window: Window,
    statistics: Statistics | None,
    problem: str,
    counted: tuple[int, dict[str, list[int]]],
    vitals: Vitals,
) -> LiveView:
    """Put the charts together.

    Args:
        window: what is shown.
        statistics: of the prediction log; None while the database is down.
        problem: why it is down.
        counted: beginning of the window and the answers of each status class, step by step.
        vitals: state of the other parts.

    Returns:
        What the page shows.
    """
    start, statuses = counted
    charts = [_chart_statuses(window, start, statuses)]
    cells: list[Cell] = []
    if statistics is not None:
        cells = [cell for cell in statistics.cells if cell.route != Route.SHADOW]
        grouped = group_by_step(cells, window.num_steps)
        charts = [
            _chart_latency(window, statistics.start, grouped),
            *charts,
            _chart_confidence(window, statistics.start, grouped),
            _chart_shares(window, statistics.start, grouped),
        ]
    return LiveView(
        window=window,
        tiles=[*_make_tiles(window, cells, statuses), *_make_vital_tiles(vitals)],
        charts=charts,
        confidence=_spread_confidence(cells),
        problem=problem,
    )


def _chart_latency(window: Window, start: int, grouped: _Grouped) -> Chart:
    series = [
        Series(name, colour, [find_latency(cells, quantile) for cells in grouped])
        for quantile, name, colour in _QUANTILES
    ]
    note = "first byte of a request to its answer"
    return make_chart(
        "latency", "Latency", note, series, window=window, start=start, write=write_milliseconds
    )


def _chart_statuses(window: Window, start: int, statuses: dict[str, list[int]]) -> Chart:
    # The last step is still running: a whole one's length would show a fall that is none.
    running = start + (window.num_steps - 1) * window.step_seconds
    lengths: list[float] = [window.step_seconds] * (window.num_steps - 1)
    lengths.append(min(max(time.time() - running, 1.0), window.step_seconds))
    series = [
        Series(title, colour, [c / s for c, s in zip(statuses[name], lengths, strict=True)])
        for name, title, colour in _STATUS_SERIES
    ]
    return make_chart(
        "statuses",
        "Requests a second",
        "answered, refused (4xx) and failed (5xx)",
        series,
        window=window,
        start=start,
        write=lambda value: f"{value:.3g}",
        kind=ChartKind.STACK,
    )


def _chart_confidence(window: Window, start: int, grouped: _Grouped) -> Chart:
    means = [_mean(cells, lambda cell: cell.probability) for cells in grouped]
    return make_chart(
        "confidence",
        "Confidence",
        "mean probability of the model's answer",
        [Series("mean", 1, means)],
        window=window,
        start=start,
        write=write_share,
        top=1.0,
    )


def _chart_shares(window: Window, start: int, grouped: _Grouped) -> Chart:
    reviews = [_mean(cells, lambda cell: cell.reviews) for cells in grouped]
    fallbacks = [
        _mean(cells, lambda cell: cell.count if cell.route in _FALLBACKS else 0)
        for cells in grouped
    ]
    return make_chart(
        "shares",
        "Reviews and fallbacks",
        "share of answers that a human should see, and that no model server gave",
        [Series("for review", 5, reviews), Series("fallback", 3, fallbacks)],
        window=window,
        start=start,
        write=write_share,
    )


def _mean(cells: Sequence[Cell], measure: Callable[[Cell], float]) -> float | None:
    count = sum(cell.count for cell in cells)
    return sum(map(measure, cells)) / count if count else None


def _make_tiles(
    window: Window, cells: Sequence[Cell], statuses: dict[str, list[int]]
) -> list[Tile]:
    slowest = find_latency(cells, 0.95)
    total, failed = sum(map(sum, statuses.values())), sum(statuses["5xx"])
    failures = failed / total if total else None
    note = f"last {window.title}"
    return [
        Tile("Answers", write_count(sum(cell.count for cell in cells)), note, "plain"),
        Tile(
            "Latency p95",
            write_milliseconds(slowest),
            f"goal < {write_milliseconds(_SLOW_MS)}",
            "warning" if slowest is not None and slowest >= _SLOW_MS else "plain",
        ),
        Tile(
            "Failed requests",
            write_share(failures),
            f"{write_count(failed)} of {write_count(total)}",
            "bad" if failed else "plain",
        ),
        Tile(
            "Confidence", write_share(_mean(cells, lambda cell: cell.probability)), "mean", "plain"
        ),
    ]


def _make_vital_tiles(vitals: Vitals) -> list[Tile]:
    is_closed = vitals.breaker == "closed"
    return [
        Tile(
            "Model server",
            "reachable" if is_closed else "unreachable" if vitals.breaker == "open" else "trying",
            f"breaker {vitals.breaker.replace('_', ' ')}",
            "good" if is_closed else "bad",
        ),
        Tile(
            "Backlog",
            write_count(vitals.spooled),
            "records that wait on disk" if vitals.spooled else "all is stored",
            "warning" if vitals.spooled else "good",
        ),
    ]


def _spread_confidence(cells: Sequence[Cell]) -> list[float]:
    counts = [0] * CONFIDENCE_BINS
    for cell in cells:
        counts[cell.confidence_bin] += cell.count
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]
