"""What routes share: who calls, what answers look like, which errors they can have."""

from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel

from serving.gateway.api_types import ErrorAnswer
from serving.gateway.auth.dependency import require
from serving.gateway.operations import Operations
from serving.gateway.scopes import Principal, Scope
from serving.gateway.services import Services

_MEANINGS: Final = {
    400: "The request cannot be read.",
    401: "No credential, or one that is wrong, expired or revoked.",
    403: "The credential lacks the scope.",
    404: "Nothing there, or somebody else's.",
    408: "The body came too slowly.",
    413: "The body, or a picture, is over the limits.",
    415: "Content that is no image of an accepted format.",
    422: "An image or a value that cannot be used.",
    429: "Too many requests; Retry-After says when to come back.",
    503: "Overloaded, or a part behind this service is gone; Retry-After says when to come back.",
    504: "No answer in time.",
}
_OF_EVERY_CALL: Final = (400, 401, 403, 429, 503)
_OF_UPLOADS: Final = (408, 413, 415, 422, 504)

_JPEG: Final = {"schema": {"type": "string", "format": "binary"}}
_BASE64: Final = {"type": "string", "contentEncoding": "base64"}
_BINARY: Final = {"type": "string", "contentMediaType": "application/octet-stream"}
_TINY_PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAGElEQVR42mNkYIhiUGDARCwKDNjB4JQAAEsxAji0"
    "eWFzAAAAAElFTkSuQmCC"
)
"""An 8x8 PNG, for examples that work."""


def get_services(request: Request) -> Services:
    """Find the running parts.

    Args:
        request: any request.

    Returns:
        The services of its app.
    """
    return request.app.state.services


def get_operations(request: Request) -> Operations:
    """Find what the API does.

    Args:
        request: any request.

    Returns:
        The operations of its app.
    """
    return request.app.state.operations


ServicesDep = Annotated[Services, Depends(get_services)]
OperationsDep = Annotated[Operations, Depends(get_operations)]
Predicting = Annotated[Principal, Depends(require(Scope.PREDICT))]
Reading = Annotated[Principal, Depends(require(Scope.READ))]
GivingFeedback = Annotated[Principal, Depends(require(Scope.FEEDBACK))]


def answer_with(request: Request, content: BaseModel) -> Response:
    """Write an answer; FastAPI's own way would check what was just checked.

    Args:
        request: its rate headers are told.
        content: the answer.

    Returns:
        JSON.
    """
    return Response(
        content.model_dump_json(),
        headers=rate_headers(request),
        media_type="application/json",
    )


def rate_headers(request: Request) -> dict[str, str]:
    """Tell what is left of a caller's share.

    Args:
        request: one that was charged for, or not.

    Returns:
        Response headers.
    """
    return getattr(request.state, "rate_headers", {})


def describe_errors(*more: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for the OpenAPI document.

    Args:
        more: status codes besides those that every call can end with.

    Returns:
        What `responses` of a route takes.
    """
    return {
        status: {"model": ErrorAnswer, "description": _MEANINGS[status]}
        for status in sorted({*_OF_EVERY_CALL, *more})
    }


def describe_upload_errors(*more: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route that takes pictures.

    Args:
        more: status codes besides those of uploads.

    Returns:
        What `responses` of a route takes.
    """
    return describe_errors(*_OF_UPLOADS, *more)


def describe_upload(*, many: bool) -> dict[str, Any]:
    """Describe the body of a route that takes pictures, which FastAPI does not read itself.

    Args:
        many: whether it takes more than one.

    Returns:
        What `openapi_extra` of a route takes.
    """
    one = {"image": _BASE64}
    several = {"images": {"type": "array", "items": _BASE64, "minItems": 1}}
    form = {"image": {"type": "array", "items": _BINARY} if many else _BINARY}
    json_schema = {
        "type": "object",
        "properties": several if many else one,
        "required": [*(several if many else one)],
        "additionalProperties": False,
    }
    example = {"images": [_TINY_PNG, _TINY_PNG]} if many else {"image": _TINY_PNG}
    content: dict[str, Any] = {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": form, "required": ["image"]}
        },
        "application/json": {"schema": json_schema, "example": example},
    }
    if not many:
        content = {"image/jpeg": _JPEG, "image/png": _JPEG, "image/webp": _JPEG} | content
    return {"requestBody": {"required": True, "content": content}}
