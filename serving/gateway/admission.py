"""A limit on requests in progress with a short queue, so that overload is refused, not suffered."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from serving.gateway.errors import OverloadedError
from serving.gateway.settings import AdmissionSettings

_RETRY_AFTER: Final = {"Retry-After": "1"}


class Admission:
    """Lets so many images to the model at once, first come, first served.

    Args:
        settings: how many work, how many wait, and for how long.
    """

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.max_concurrent)
        self._in_progress = 0
        self._waiting = 0

    @property
    def in_progress(self) -> int:
        """Count who has a slot.

        Returns:
            Images at work.
        """
        return self._in_progress

    @property
    def waiting(self) -> int:
        """Count who waits for one.

        Returns:
            Images in the queue.
        """
        return self._waiting

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[float]:
        """Hold a slot while the block runs.

        Yields:
            How long it took to get one, seconds.

        Raises:
            OverloadedError: the queue is full, or the wait was too long.
        """
        started = time.perf_counter()
        await self._acquire()
        self._in_progress += 1
        try:
            yield time.perf_counter() - started
        finally:
            self._in_progress -= 1
            self._slots.release()

    async def _acquire(self) -> None:
        if not self._slots.locked():
            await self._slots.acquire()  # does not suspend
            return
        if self._waiting >= self._settings.max_waiting:
            raise self._refusal(f"{self._waiting} others wait already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.max_wait_seconds):
                await self._slots.acquire()
        except TimeoutError as error:
            waited = f"no turn within {self._settings.max_wait_seconds:g} s"
            raise self._refusal(waited) from error
        finally:
            self._waiting -= 1

    def _refusal(self, reason: str) -> OverloadedError:
        return OverloadedError(
            f"the service is busy: {reason}",
            got=f"{self._in_progress} images in progress",
            accepted=f"{self._settings.max_concurrent} in progress, "
            f"{self._settings.max_waiting} waiting",
            fix="Try again in a moment.",
            headers=_RETRY_AFTER,
        )
