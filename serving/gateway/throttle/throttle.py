"""How many requests a caller may make, and all of them together."""

import asyncio
import dataclasses
import hashlib
import math
import time
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from configs.errors import ConfigError
from serving.gateway.database.engine import describe_cause
from serving.gateway.database.tables import KEY_ID_LENGTH
from serving.gateway.errors import ThrottledError, TooLargeError
from serving.gateway.settings import ThrottleSettings
from serving.gateway.throttle.buckets import (
    Bucket,
    BucketStore,
    MemoryStore,
    Taken,
    find_shortage,
)
from serving.gateway.throttle.database_store import DatabaseStore

_TOTAL: Final = "total"
_REDIS_TIMEOUT_SECONDS: Final = 0.25
_RETRY_STORE_SECONDS: Final = 2.0
_STORE_SECONDS: Final = 0.5
_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ThrottleState:
    """What is left of a caller's share.

    Attributes:
        limit: tokens that the caller's bucket holds when it is full.
        remaining: tokens in it now.
        reset_seconds: when it is full again.
    """

    limit: int
    remaining: int
    reset_seconds: int

    def to_headers(self) -> dict[str, str]:
        """Tell the caller, on every answer.

        Returns:
            Response headers.

        Source: draft-ietf-httpapi-ratelimit-headers-06.
        """
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
        }


class Throttle:
    """Takes tokens for requests, from the caller's bucket and the common one.

    When the store is gone, each process counts for itself until it is back: a limit that is too
    generous for a while is better than no predictions.

    Args:
        settings: the limits.
        store: where buckets live.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        settings: ThrottleSettings,
        store: BucketStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._local = MemoryStore(clock)
        self._total = Bucket(_TOTAL, settings.total_per_second, settings.total_burst)
        self._retry_at = -math.inf
        self._is_degraded = False

    @property
    def is_degraded(self) -> bool:
        """Tell whether the shared store is gone.

        Returns:
            Whether this process counts for itself.
        """
        return self._is_degraded

    async def take(self, key_id: str, tokens: int = 1) -> ThrottleState:
        """Take the tokens of one request.

        Args:
            key_id: who asks.
            tokens: what the request costs, one for each image.

        Returns:
            What is left of the caller's share.

        Raises:
            ThrottledError: not enough tokens; its headers say when to come back.
            TooLargeError: more than a full bucket holds.
        """
        own = Bucket(_name_bucket(key_id), self._settings.key_per_second, self._settings.key_burst)
        most = min(own.burst, self._total.burst)
        if tokens > most:
            raise TooLargeError(
                f"the request costs {tokens} tokens, more than will ever be there at once",
                got=f"{tokens} images",
                accepted=f"at most {most} images in one request",
                fix="Send smaller batches.",
            )
        taken = await self._take((own, self._total), tokens)
        state = _state_of(own, taken.tokens[0])
        if not taken.is_taken:
            raise self._refusal(own, taken, tokens, state)
        return state

    async def close(self) -> None:
        """Give the store's connections back."""
        await self._store.close()

    async def _take(self, buckets: tuple[Bucket, ...], tokens: int) -> Taken:
        if self._clock() >= self._retry_at:
            try:
                async with asyncio.timeout(_STORE_SECONDS):
                    taken = await self._store.take(buckets, tokens)
            except (TimeoutError, *self._store.outages) as error:
                self._retry_at = self._clock() + _RETRY_STORE_SECONDS
                if not self._is_degraded:
                    _log.warning("throttle_store_gone", cause=describe_cause(error))
                self._is_degraded = True
            else:
                if self._is_degraded:
                    _log.info("throttle_store_back")
                self._is_degraded = False
                return taken
        return await self._local.take(buckets, tokens)

    def _refusal(
        self, own: Bucket, taken: Taken, tokens: int, state: ThrottleState
    ) -> ThrottledError:
        rate, retry_seconds = find_shortage((own, self._total), taken, tokens)
        whose = "your key makes" if rate is own else "all callers together make"
        return ThrottledError(
            f"{whose} too many requests",
            got=f"a request of {tokens} with {max(0, math.floor(min(taken.tokens)))} left",
            accepted=f"{rate.per_second:g} images per second, bursts of {rate.burst}",
            fix=f"Try again in {retry_seconds} s.",
            headers={"Retry-After": str(retry_seconds), **state.to_headers()},
        )


def make_throttle(settings: ThrottleSettings, engine: AsyncEngine | None = None) -> Throttle:
    """Make the throttle that the settings ask for.

    Args:
        settings: limits and store.
        engine: the database of `store=database`.

    Returns:
        A throttle; nothing is connected yet.

    Raises:
        ConfigError: the store lacks what it needs.
    """
    if settings.store == "memory":
        return Throttle(settings, MemoryStore())
    if settings.store == "redis":
        if not settings.redis_url:
            raise ConfigError(
                "throttle.store is 'redis' and throttle.redis_url is empty, expected a URL such as "
                "redis://localhost:6379/0. Set LOUPE_GATEWAY_THROTTLE__REDIS_URL."
            )
        # Imported here: only who uses it pays 6 MiB and a tenth of a second for the library.
        from serving.gateway.throttle.redis_store import RedisStore

        return Throttle(
            settings, RedisStore(settings.redis_url, timeout_seconds=_REDIS_TIMEOUT_SECONDS)
        )
    if engine is None:
        raise ConfigError(
            "throttle.store is 'database' and no database was given, expected an engine. Give one."
        )
    return Throttle(settings, DatabaseStore(engine))


def _state_of(bucket: Bucket, tokens: float) -> ThrottleState:
    return ThrottleState(
        limit=bucket.burst,
        remaining=max(0, math.floor(tokens)),
        reset_seconds=math.ceil((bucket.burst - tokens) / bucket.per_second),
    )


def _name_bucket(key_id: str) -> str:
    # A name that a store cannot hold would look like a store that is gone.
    if len(key_id) > KEY_ID_LENGTH or not (key_id.isascii() and key_id.isprintable()):
        return f"hash:{hashlib.sha256(key_id.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return f"key:{key_id}"
