"""The page that classifies an image."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from serving.gateway.api_types import FeedbackRequest
from serving.gateway.console.access import Viewer, frame_page, need
from serving.gateway.console.parts import get_parts
from serving.gateway.console.templating import Pages
from serving.gateway.console.wording import REASONS, ROUTES
from serving.gateway.scopes import Scope

_CanPredict = Annotated[Viewer, Depends(need(Scope.PREDICT))]
_CanJudge = Annotated[Viewer, Depends(need(Scope.FEEDBACK))]


@dataclasses.dataclass(frozen=True, slots=True)
class TryView:
    """The page that classifies an image.

    Attributes:
        labels: class names, offered when an answer is wrong; may be empty.
        can_judge: whether the viewer may send feedback.
        max_image_bytes: largest accepted image.
        reasons: why a human should look, code to text.
        routes: which model answered, code to text.
    """

    labels: Sequence[str]
    can_judge: bool
    max_image_bytes: int
    reasons: Mapping[str, str]
    routes: Mapping[str, str]


def add_try_page(router: APIRouter, pages: Pages) -> None:
    """Add the routes.

    Args:
        router: of the console.
        pages: renders templates.
    """

    @router.get("/try")
    async def show_try(request: Request, viewer: _CanPredict) -> Response:
        parts = get_parts(request)
        view = TryView(
            labels=parts.list_labels(),
            can_judge=viewer.principal.may(Scope.FEEDBACK),
            max_image_bytes=parts.max_image_bytes,
            reasons={reason.value: text for reason, text in REASONS.items()},
            routes={route.value: text for route, text in ROUTES.items()},
        )
        return pages.render("try.html", frame=frame_page(request, viewer, "try"), view=view)

    @router.post("/try/predict")
    async def predict(request: Request, viewer: _CanPredict) -> Response:
        answer = await get_parts(request).predict(request, viewer.principal)
        return JSONResponse(answer.model_dump(mode="json"))

    @router.post("/try/explain")
    async def explain(request: Request, viewer: _CanPredict) -> Response:
        overlay = await get_parts(request).explain(request, viewer.principal)
        return Response(overlay, media_type="image/png")

    @router.post("/try/feedback")
    async def send_feedback(
        request: Request, feedback: FeedbackRequest, viewer: _CanJudge
    ) -> Response:
        answer = await get_parts(request).send_feedback(request, feedback, viewer.principal)
        return JSONResponse(answer.model_dump(mode="json"))
