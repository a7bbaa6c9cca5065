"""Traffic and versions."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from serving.gateway.api_types import ModelsAnswer, ModelVersion
from serving.gateway.console.access import Viewer, frame_page, need
from serving.gateway.console.charts import Chart, ChartKind, Series, make_chart
from serving.gateway.console.parts import get_parts
from serving.gateway.console.routing import describe
from serving.gateway.console.statistics import (
    Cell,
    Feedback,
    Statistics,
    count_by_step,
    find_latency,
)
from serving.gateway.console.templating import Pages, write_count
from serving.gateway.console.windows import Window, find_window
from serving.gateway.console.wording import ROUTES
from serving.gateway.errors import GatewayError
from serving.gateway.records import Route
from serving.gateway.scopes import Scope

_NUM_COLOURS: Final = 6


@dataclasses.dataclass(frozen=True, slots=True)
class VersionRow:
    """One version in one window.

    Attributes:
        version: the version; 0 for a fallback.
        state: at the model server; empty where it is not there.
        error: why it is not available.
        count: its answers.
        share: of all answers, 0..1.
        routes: how it was reached.
        review_share: of its answers, those that a human should see; None without answers.
        probability: mean; None without answers.
        median_ms: latency, milliseconds.
        slowest_ms: its 95th percentile.
        judged: answers with feedback.
        right_share: of those, the confirmed ones; None without any.
        colour: number of its colour on charts.
    """

    version: int
    state: str
    error: str
    count: int
    share: float
    routes: Sequence[str]
    review_share: float | None
    probability: float | None
    median_ms: float | None
    slowest_ms: float | None
    judged: int
    right_share: float | None
    colour: int


@dataclasses.dataclass(frozen=True, slots=True)
class VersionsView:
    """Traffic and versions.

    Attributes:
        window: what is shown.
        model_name: the model.
        asked_label: version label that is asked for; empty for the newest version.
        breaker: closed, open or half_open; empty where the model server did not answer.
        rules_version: of the business rules.
        problem: why the model server's versions are unknown; empty when they are not.
        rows: the versions, newest first.
        chart: answers by version over time.
    """

    window: Window
    model_name: str
    asked_label: str
    breaker: str
    rules_version: int
    problem: str
    rows: Sequence[VersionRow]
    chart: Chart


def add_versions_page(router: APIRouter, pages: Pages) -> None:
    """Add the route.

    Args:
        router: of the console.
        pages: renders templates.
    """

    @router.get("/versions")
    async def show_versions(
        request: Request, viewer: Annotated[Viewer, Depends(need(Scope.READ))], window: str = ""
    ) -> Response:
        parts = get_parts(request)
        models, problem = None, ""
        try:
            models = await parts.describe_models()
        except GatewayError as error:
            problem = describe(error)
        statistics = await parts.statistics.read(find_window(window))
        view = make_versions_view(statistics, models, problem)
        frame = frame_page(request, viewer, "versions")
        return pages.render("versions.html", frame=frame, view=view)


def make_versions_view(
    statistics: Statistics, models: ModelsAnswer | None, problem: str
) -> VersionsView:
    """Join what was answered with what is served.

    Args:
        statistics: of the prediction log.
        models: of the model server; None where it did not answer.
        problem: why not.

    Returns:
        What the page shows.
    """
    # A shadow's answers reach nobody: they are no traffic.
    cells = [cell for cell in statistics.cells if cell.route != Route.SHADOW]
    served = {version.version: version for version in models.versions} if models else {}
    seen = {cell.version for cell in statistics.cells}
    total = sum(cell.count for cell in cells)
    newest_first = sorted(served.keys() | seen, reverse=True)
    rows = [
        _make_row(version, place, statistics, total=total, served=served.get(version))
        for place, version in enumerate(newest_first)
    ]
    window = statistics.window
    series = [
        Series(
            name=_name_version(row.version),
            colour=row.colour,
            values=count_by_step(_of_version(cells, row.version), window.num_steps),
        )
        for row in rows
        if row.count
    ]
    chart = make_chart(
        "traffic",
        "Answers by version",
        f"answers in each {_name_step(window.step_seconds)}; shadows not counted",
        series,
        window=window,
        start=statistics.start,
        write=write_count,
        kind=ChartKind.STACK,
    )
    return VersionsView(
        window=window,
        model_name=models.name if models else "",
        asked_label=models.label if models else "",
        breaker=models.breaker if models else "",
        rules_version=models.rules_version if models else 0,
        problem=problem,
        rows=rows,
        chart=chart,
    )


def _make_row(
    version: int, place: int, statistics: Statistics, *, total: int, served: ModelVersion | None
) -> VersionRow:
    every = _of_version(statistics.cells, version)
    answers = [cell for cell in every if cell.route != Route.SHADOW]
    count, looked_at = sum(cell.count for cell in answers), sum(cell.count for cell in every)
    feedback = statistics.feedback.get(version, Feedback(0, 0))
    return VersionRow(
        version=version,
        state=served.state if served else "",
        error=served.error if served else "",
        count=count,
        share=count / total if total else 0.0,
        routes=[ROUTES[Route(route)] for route in sorted({cell.route for cell in every})],
        review_share=_divide(sum(cell.reviews for cell in every), looked_at),
        probability=_divide(sum(cell.probability for cell in every), looked_at),
        median_ms=find_latency(every, 0.5),
        slowest_ms=find_latency(every, 0.95),
        judged=feedback.count,
        right_share=_divide(feedback.right, feedback.count),
        colour=place % _NUM_COLOURS + 1,
    )


def _of_version(cells: Sequence[Cell], version: int) -> list[Cell]:
    return [cell for cell in cells if cell.version == version]


def _divide(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _name_version(version: int) -> str:
    return str(version) if version else "fallback"


def _name_step(seconds: int) -> str:
    minutes = seconds // 60
    return "minute" if minutes == 1 else f"{minutes} minutes" if minutes else f"{seconds} seconds"
