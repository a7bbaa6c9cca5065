"""What a request's transport knows and its model call needs, without passing through between."""

import contextlib
import time
from collections.abc import Generator
from contextvars import ContextVar
from typing import Final

from serving.model_server.errors import Code, ServingError

_NO_LIMIT_MS: Final = 0
_MILLISECONDS: Final = 1000.0

# Of the task that answers the request, not of the process.
_api: ContextVar[str] = ContextVar("api", default="Predict")
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextlib.contextmanager
def api_scope(api: str) -> Generator[None]:
    """Remember which API a request came through.

    Args:
        api: `Predict`, `Classify` or `Regress`.

    Yields:
        Nothing.
    """
    token = _api.set(api)
    try:
        yield
    finally:
        _api.reset(token)


def current_api() -> str:
    """Tell through which API the request of this task came.

    Returns:
        `Predict`, `Classify` or `Regress`.
    """
    return _api.get()


@contextlib.contextmanager
def deadline_scope(seconds: float | None) -> Generator[None]:
    """Remember until when a client waits for its answer.

    Args:
        seconds: from now on; None when the client has set no limit.

    Yields:
        Nothing.
    """
    token = _deadline.set(None if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def time_limit_ms(limit_ms: int) -> int:
    """Combine a server's limit on a model call with the client's deadline.

    Args:
        limit_ms: the server's limit, milliseconds; 0 for none.

    Returns:
        The shorter of the two, milliseconds; 0 for none. A deadline is rounded up to two digits,
        so that a server sees few different limits.

    Raises:
        ServingError: DEADLINE_EXCEEDED; the deadline has passed.
    """
    deadline = _deadline.get()
    if deadline is None:
        return limit_ms
    remaining_ms = (deadline - time.monotonic()) * _MILLISECONDS
    if remaining_ms <= 0:
        raise ServingError(Code.DEADLINE_EXCEEDED, "the deadline passed before the model ran")
    rounded_ms = _round_up(remaining_ms)
    return rounded_ms if limit_ms == _NO_LIMIT_MS else min(limit_ms, rounded_ms)


def _round_up(milliseconds: float) -> int:
    step = 1
    while milliseconds > 100 * step:
        step *= 10
    return -int(-milliseconds // step) * step
