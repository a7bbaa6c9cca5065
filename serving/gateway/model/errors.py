"""How a model server fails, told apart by what helps."""

import re
from typing import Any, Final

import grpc
import structlog

from serving.gateway.errors import (
    DeadlineError,
    GatewayError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    UnprocessableError,
)
from serving.gateway.model.breaker import BreakerOpenError

MAX_DETAIL_CHARACTERS: Final = 200


class ModelGoneError(UnavailableError):
    """The model server refused, cannot be reached, or answers what nobody understands.

    Attributes:
        is_worth_retrying: whether the call never reached the model.
    """

    def __init__(self, message: str, *, is_worth_retrying: bool = False) -> None:
        super().__init__(message, fix="try again in a few seconds", headers={"Retry-After": "2"})
        self.is_worth_retrying = is_worth_retrying


class ModelTimeoutError(DeadlineError):
    """The model server did not answer in time."""


GONE: Final = (ModelGoneError, ModelTimeoutError, BreakerOpenError)
"""What a fallback may replace."""
BREAKER_FAILURES: Final = (ModelGoneError, ModelTimeoutError)

_log = structlog.get_logger(__name__)
_MISSING_SIGNATURE: Final = re.compile(r"signature (key|name)", re.IGNORECASE)
_OUR_MISTAKE: Final = re.compile(r"tensor alias|signature|ModelSpec|servable", re.IGNORECASE)


def to_gateway_error(error: grpc.RpcError, where: str, seconds: float) -> GatewayError:
    """Say what a failed call means.

    Args:
        error: what gRPC raised.
        where: which call, for the message.
        seconds: time limit that the call had.

    Returns:
        What to tell the caller of this service.
    """
    code, details = _read_status(error)
    text = f"{where}: {code.name}: {details}"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ModelTimeoutError(
            f"{where}: no answer within {seconds:.3g} s", fix="try again in a few seconds"
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return OverloadedError(text, fix="try again in a second", headers={"Retry-After": "1"})
    if _MISSING_SIGNATURE.search(details):
        return NotFoundError(text, fix="serve a version that was exported with this signature")
    if code is grpc.StatusCode.INVALID_ARGUMENT and not _OUR_MISTAKE.search(details):
        return UnprocessableError(
            "the model cannot read this image",
            got=details,
            accepted="a still JPEG, PNG, BMP, GIF or WebP whose pixels are whole",
            fix="open it in an image editor and export it again as JPEG or PNG",
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        # gRPC's own words name hosts and ports, which are nothing for callers.
        _log.warning("model server unavailable", call=where, details=details)
        return ModelGoneError(f"{where}: {code.name}", is_worth_retrying=True)
    return ModelGoneError(text)


def _read_status(error: Any) -> tuple[grpc.StatusCode, str]:
    # An RpcError of a call is a call too; the base class does not say so.
    first_line = (error.details() or "").strip().partition("\n")[0]
    return error.code(), first_line[:MAX_DETAIL_CHARACTERS]
