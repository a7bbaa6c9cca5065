"""Why a picture got its answer."""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.gateway.auth.dependency import GuardedRoute
from serving.gateway.routes.common import (
    OperationsDep,
    Predicting,
    describe_upload,
    describe_upload_errors,
    rate_headers,
)

router = APIRouter(prefix="/v1", tags=["predict"], route_class=GuardedRoute)

_OVERLAY: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The picture with a heat map over it.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/explain",
    response_class=Response,
    responses=_OVERLAY | describe_upload_errors(404),
    openapi_extra=describe_upload(many=False),
)
async def explain(request: Request, caller: Predicting, operations: OperationsDep) -> Response:
    """Show which parts of a picture made the answer; 404 when the model cannot tell.

    Args:
        request: the picture as the body, in a form, or in JSON.
        caller: who asks.
        operations: what the API does.

    Returns:
        A PNG of at most 512 pixels a side.
    """
    overlay = await operations.explain(request, caller)
    return Response(overlay, headers=rate_headers(request), media_type="image/png")
