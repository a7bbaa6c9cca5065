"""What is served."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.gateway.api_types import ModelsAnswer
from serving.gateway.auth.dependency import GuardedRoute
from serving.gateway.routes.common import OperationsDep, Reading, answer_with, describe_errors

router = APIRouter(prefix="/v1", tags=["models"], route_class=GuardedRoute)


@router.get("/models", response_model=ModelsAnswer, responses=describe_errors())
async def describe_models(request: Request, caller: Reading, operations: OperationsDep) -> Response:
    """Tell which versions are served, and which part of the last hour's answers each gave.

    Args:
        request: the request.
        caller: who asks.
        operations: what the API does.

    Returns:
        The versions, newest first.
    """
    await operations.charge(request, caller)
    return answer_with(request, await operations.describe_models())
