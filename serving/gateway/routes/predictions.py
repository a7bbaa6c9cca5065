"""What a caller was answered."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from serving.gateway.api_types import PredictionPage
from serving.gateway.auth.dependency import GuardedRoute
from serving.gateway.database.predictions import MAX_PAGE_ITEMS
from serving.gateway.routes.common import OperationsDep, Reading, answer_with, describe_errors

router = APIRouter(prefix="/v1", tags=["predictions"], route_class=GuardedRoute)

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE_ITEMS, description="most items of the page")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before")
]


@router.get("/predictions", response_model=PredictionPage, responses=describe_errors(422))
async def list_predictions(
    request: Request,
    caller: Reading,
    operations: OperationsDep,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """List the caller's own predictions, newest first.

    Args:
        request: the request.
        caller: whose.
        operations: what the API does.
        cursor: place in the list.
        limit: most items.

    Returns:
        A page. An answer is in it some tenths of a second after it was given.
    """
    await operations.charge(request, caller)
    page = await operations.list_predictions(caller, cursor=cursor, limit=limit)
    return answer_with(request, page)
