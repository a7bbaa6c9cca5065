"""Whether the model server answers, asked at most so often however many want to know."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from serving.gateway.errors import GatewayError
from serving.gateway.model.client import ModelClient, VersionStatus
from serving.gateway.model.protos import VersionState

KEEP_SECONDS: Final = 1.0
"""How old an answer may be."""


class ModelHealth:
    """Remembers for a moment what the model server said about its versions.

    Args:
        client: asks it.
        clock: monotonic seconds.
    """

    def __init__(self, client: ModelClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked_at: float | None = None
        self._versions: list[VersionStatus] = []
        self._problem = ""

    async def check(self) -> tuple[list[VersionStatus], str]:
        """Find out what is served.

        Returns:
            The versions, newest first, and why there is none that answers; empty when there is.
        """
        async with self._asking:
            if self._asked_at is None or self._clock() - self._asked_at >= KEEP_SECONDS:
                await self._ask()
                self._asked_at = self._clock()
            return self._versions, self._problem

    async def _ask(self) -> None:
        try:
            self._versions = await self._client.statuses()
        except GatewayError as error:
            self._versions, self._problem = [], error.message
            return
        states = [entry.state for entry in self._versions]
        self._problem = ""
        if VersionState.AVAILABLE not in states:
            self._problem = (
                f"no version is AVAILABLE: {', '.join(s.name for s in states) or 'none'}"
            )
