"""Drift state."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from configs.errors import DataError
from serving.gateway.console.access import Viewer, frame_page, need
from serving.gateway.console.drift_report import DriftReport, read_drift_report
from serving.gateway.console.parts import get_parts
from serving.gateway.console.routing import describe
from serving.gateway.console.templating import Pages
from serving.gateway.scopes import Scope


@dataclasses.dataclass(frozen=True, slots=True)
class DriftView:
    """Drift state.

    Attributes:
        report: the newest report; None where there is none.
        is_configured: whether the gateway knows where reports are.
        problem: why the report cannot be shown; empty when it can.
    """

    report: DriftReport | None
    is_configured: bool
    problem: str


def add_drift_page(router: APIRouter, pages: Pages) -> None:
    """Add the route.

    Args:
        router: of the console.
        pages: renders templates.
    """

    @router.get("/drift")
    async def show_drift(
        request: Request, viewer: Annotated[Viewer, Depends(need(Scope.READ))]
    ) -> Response:
        view = await asyncio.to_thread(make_drift_view, get_parts(request).drift_report_file)
        return pages.render("drift.html", frame=frame_page(request, viewer, "drift"), view=view)


def make_drift_view(file: Path | None) -> DriftView:
    """Read the newest report.

    Args:
        file: where the drift monitor writes it; None where there is no monitor.

    Returns:
        What the page shows.
    """
    if file is None:
        return DriftView(report=None, is_configured=False, problem="")
    try:
        return DriftView(report=read_drift_report(file), is_configured=True, problem="")
    except DataError as error:
        return DriftView(report=None, is_configured=True, problem=describe(error))
