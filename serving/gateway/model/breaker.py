"""Stops asking a server that does not answer, until it may answer again."""

import contextlib
import time
from collections.abc import Callable, Generator
from enum import StrEnum

from serving.gateway.errors import UnavailableError


class BreakerState(StrEnum):
    """What the breaker does with the next call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerOpenError(UnavailableError):
    """A call that was not made, because the last ones failed."""


class Breaker:
    """Counts failures in a row; after too many of them it lets one call through now and then.

    Args:
        max_failures: failures in a row that open it, above 0.
        open_seconds: how long it refuses calls before one is tried.
        failures: exceptions that count; any other one says that the server is there.
        on_open: called whenever it opens, also after a trial that failed.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        max_failures: int,
        open_seconds: float,
        *,
        failures: tuple[type[Exception], ...],
        on_open: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_failures = max_failures
        self._open_seconds = open_seconds
        self._failures = failures
        self._on_open = on_open
        self._clock = clock
        self._failures_in_row = 0
        self._opened_at: float | None = None
        self._has_trial = False

    @property
    def state(self) -> BreakerState:
        """Tell what happens to the next call.

        Returns:
            `closed`: it is made; `open`: it is refused; `half_open`: it is the trial, or one runs.
        """
        if self._opened_at is None:
            return BreakerState.CLOSED
        is_over = self._clock() - self._opened_at >= self._open_seconds
        return BreakerState.HALF_OPEN if is_over or self._has_trial else BreakerState.OPEN

    @contextlib.contextmanager
    def watch(self) -> Generator[None]:
        """Let a call through and learn from how it ends.

        Raises:
            BreakerOpenError: the call is not to be made.
        """
        is_trial = self._enter()
        try:
            yield
        except self._failures:
            self._fail(is_trial)
            raise
        except Exception:
            self._succeed(is_trial)
            raise
        except BaseException:  # cancelled: nothing was learned
            self._has_trial = self._has_trial and not is_trial
            raise
        else:
            self._succeed(is_trial)

    def _enter(self) -> bool:
        state = self.state
        if state is BreakerState.CLOSED:
            return False
        if state is BreakerState.OPEN or self._has_trial:
            raise BreakerOpenError(
                f"the model server did not answer {self._failures_in_row} times in a row",
                fix=f"try again in {self._open_seconds:g} s",
                headers={"Retry-After": str(max(1, round(self._open_seconds)))},
            )
        self._has_trial = True
        return True

    def _fail(self, is_trial: bool) -> None:
        self._failures_in_row += 1
        is_opened_now = self._opened_at is None and self._failures_in_row >= self._max_failures
        if is_trial or is_opened_now:
            self._has_trial = False
            self._opened_at = self._clock()
            self._on_open()

    def _succeed(self, is_trial: bool) -> None:
        # A call from before the breaker opened proves nothing about the server of now.
        if is_trial or self._opened_at is None:
            self._has_trial = False
            self._opened_at = None
            self._failures_in_row = 0
