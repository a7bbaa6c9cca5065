"""Pictures in, labels out."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.gateway.api_types import BatchAnswer, PredictionAnswer
from serving.gateway.auth.dependency import GuardedRoute
from serving.gateway.routes.common import (
    OperationsDep,
    Predicting,
    answer_with,
    describe_upload,
    describe_upload_errors,
)

router = APIRouter(prefix="/v1", tags=["predict"], route_class=GuardedRoute)


@router.post(
    "/predict",
    response_model=PredictionAnswer,
    responses=describe_upload_errors(),
    openapi_extra=describe_upload(many=False),
)
async def predict(request: Request, caller: Predicting, operations: OperationsDep) -> Response:
    """Say what one picture shows.

    Send the file as it is: decoding, EXIF orientation and resizing are the model's.

    Args:
        request: the picture as the body, in a form, or in JSON.
        caller: who asks.
        operations: what the API does.

    Returns:
        The answer.
    """
    return answer_with(request, await operations.predict(request, caller))


@router.post(
    "/predict:batch",
    response_model=BatchAnswer,
    responses=describe_upload_errors(),
    openapi_extra=describe_upload(many=True),
)
async def predict_batch(
    request: Request, caller: Predicting, operations: OperationsDep
) -> Response:
    """Say what many pictures show, each with its own result or error.

    Args:
        request: the pictures in a form, or in JSON.
        caller: who asks.
        operations: what the API does.

    Returns:
        The answers in the order of the pictures; also when some, or all, are refused.
    """
    return answer_with(request, await operations.predict_batch(request, caller))
