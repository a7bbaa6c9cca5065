"""Makes one JSON form of every error, whoever raised it."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from configs.errors import PipelineError
from serving.gateway.errors import (
    BadRequestError,
    ForbiddenError,
    GatewayError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
    UnprocessableError,
    UnsupportedTypeError,
)

CLIENT_CLOSED: Final = 499
"""Status in logs and metrics of a request whose caller hung up; nobody receives it."""

_MAX_PROBLEMS: Final = 5
_MAX_CHARACTERS: Final = 200
_SERVER_ERRORS: Final = 500
_log = structlog.stdlib.get_logger(__name__)


class MethodNotAllowedError(GatewayError):
    """A method that the path does not have."""

    http_status = 405
    code = "method_not_allowed"


class InternalError(GatewayError):
    """An error of ours; what happened is in the log, not in the answer."""


_BY_STATUS: Final[dict[int, type[GatewayError]]] = {
    error.http_status: error
    for error in (
        BadRequestError,
        UnauthenticatedError,
        ForbiddenError,
        NotFoundError,
        MethodNotAllowedError,
        TooLargeError,
        UnsupportedTypeError,
        UnprocessableError,
    )
}


def to_gateway_error(error: Exception) -> GatewayError:
    """Make any exception one of ours.

    Args:
        error: what ended a request.

    Returns:
        An error with a status, a code and a sentence; nothing of it comes from inside.
    """
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, RequestValidationError):
        return _from_validation(error)
    if isinstance(error, HTTPException):
        return _from_http(error)
    if isinstance(error, PipelineError) and error.http_status != _SERVER_ERRORS:
        return _with_status(error.http_status, str(error))
    return InternalError(
        "the request could not be answered.",
        fix="Try again; if it stays so, tell the operator the request_id.",
    )


def make_answer(error: GatewayError, request_id: str) -> Response:
    """Write an error as an HTTP response.

    Args:
        error: the error.
        request_id: id of the request.

    Returns:
        JSON: `error`, `code`, `request_id`, and `got`, `accepted`, `fix` where known.
    """
    return Response(
        # Names that callers send can hold lone surrogates, which JSON in UTF-8 cannot.
        orjson.dumps({name: _clean(text) for name, text in error.to_body(request_id).items()}),
        status_code=error.http_status,
        headers={name: _clean_header(text) for name, text in error.headers.items()},
        media_type="application/json",
    )


def install_error_answers(app: FastAPI) -> None:
    """Answer every exception of a route, and FastAPI's own errors, in this form.

    Args:
        app: the app. Exceptions that no class of this list covers reach the middleware.
    """
    for kind in (PipelineError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _handle)


def note_error(scope: Mapping[str, Any], error: GatewayError) -> None:
    """Leave an error's code for the access log and the metrics.

    Args:
        scope: of the request.
        error: what it ends with.
    """
    scope["state"]["error_code"] = error.code


async def _handle(request: Request, error: Exception) -> Response:
    known = to_gateway_error(error)
    if isinstance(known, InternalError):
        _log.error("request failed", exc_info=error)
    note_error(request.scope, known)
    return make_answer(known, request.state.request_id)


def _from_validation(error: RequestValidationError) -> GatewayError:
    problems = [_describe(problem) for problem in error.errors()[:_MAX_PROBLEMS]]
    if any(problem["type"] == "json_invalid" for problem in error.errors()):
        return BadRequestError("the body is not JSON.", got=problems[0], fix="Send valid JSON.")
    return UnprocessableError(
        f"the request is not as described: {'; '.join(problems)}.",
        accepted="what /openapi.json describes",
        fix="Correct the values named above.",
    )


def _describe(problem: Mapping[str, Any]) -> str:
    # Where and why, never the value: it may be a picture, or a secret in the wrong place.
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place[:_MAX_CHARACTERS]}: {str(problem['msg'])[:_MAX_CHARACTERS]}"


def _from_http(error: HTTPException) -> GatewayError:
    cause = error.__cause__
    if isinstance(cause, GatewayError):
        return cause  # FastAPI hides what is raised while it reads a body behind its own 400
    headers = dict(error.headers or {})
    if error.status_code == NotFoundError.http_status:
        return NotFoundError("there is nothing at this path.", fix="/openapi.json lists all paths.")
    if error.status_code == MethodNotAllowedError.http_status:
        allowed = headers.get("Allow", "")
        return MethodNotAllowedError(
            "the path does not have this method.", accepted=allowed, headers=headers
        )
    return _with_status(error.status_code, f"{str(error.detail)[:_MAX_CHARACTERS]}.", headers)


def _with_status(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> GatewayError:
    kind = _BY_STATUS.get(status)
    if kind is not None:
        return kind(message, headers=headers)
    error = GatewayError(message, headers=headers)
    error.http_status = status
    error.code = "upstream" if status > _SERVER_ERRORS else "bad_request"
    return error


def is_hang_up(error: Exception) -> bool:
    """Tell whether a request ended because its caller went away.

    Args:
        error: what ended it.

    Returns:
        Whether nobody waits for an answer.
    """
    return isinstance(error, ClientDisconnect) or isinstance(error.__cause__, ClientDisconnect)


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _clean_header(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text)
