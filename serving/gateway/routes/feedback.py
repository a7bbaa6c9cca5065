"""What pictures really show."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serving.gateway.api_types import FeedbackAnswer, FeedbackRequest
from serving.gateway.auth.dependency import GuardedRoute
from serving.gateway.routes.common import (
    GivingFeedback,
    OperationsDep,
    answer_with,
    describe_upload_errors,
)

router = APIRouter(prefix="/v1", tags=["feedback"], route_class=GuardedRoute)


@router.post("/feedback", response_model=FeedbackAnswer, responses=describe_upload_errors(404))
async def send_feedback(
    request: Request, feedback: FeedbackRequest, caller: GivingFeedback, operations: OperationsDep
) -> Response:
    """Tell the true label of a picture that was answered before.

    A later word replaces an earlier one. Where the answer was another one, a human looks at it.

    Args:
        request: the request.
        feedback: the true label.
        caller: who asked for the prediction.
        operations: what the API does.

    Returns:
        Whether the answer was right.
    """
    return answer_with(request, await operations.send_feedback(request, feedback, caller))
