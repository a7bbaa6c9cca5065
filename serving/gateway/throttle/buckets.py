"""Token buckets: how they fill, what a store of them can do, and the one in memory."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Protocol

_MAX_BUCKETS: Final = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and how it fills.

    Attributes:
        name: what identifies it in every store.
        per_second: tokens it gains.
        burst: tokens it holds.
    """

    name: str
    per_second: float
    burst: int

    def fill(self, tokens: float, elapsed_seconds: float) -> float:
        """Work out what a bucket holds by now.

        Args:
            tokens: what it held.
            elapsed_seconds: how long ago; a clock that went back counts as no time.

        Returns:
            What it holds, at most `burst`.
        """
        return min(float(self.burst), tokens + max(0.0, elapsed_seconds) * self.per_second)


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """What came of asking for tokens.

    Attributes:
        is_taken: whether every bucket had enough; if one had not, none was touched.
        tokens: what each bucket holds now, in the order of the buckets.
    """

    is_taken: bool
    tokens: tuple[float, ...]


class BucketStore(Protocol):
    """Where buckets live. Whoever asks first gets, however many ask at once.

    Attributes:
        outages: what `take` raises when the store is gone.
    """

    outages: ClassVar[tuple[type[Exception], ...]]

    async def take(self, buckets: Sequence[Bucket], tokens: int) -> Taken:
        """Take tokens out of every bucket, or out of none.

        Args:
            buckets: different buckets; one that is unknown is full.
            tokens: how many, at least 1.

        Returns:
            Whether they were taken, and what is left. One of `outages` is raised when the store is
            gone.
        """
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


def settle(levels: Sequence[float], tokens: int) -> Taken:
    """Decide about buckets whose levels are known.

    Args:
        levels: what each holds.
        tokens: how many are asked for.

    Returns:
        Whether all of them have enough, and what is left.
    """
    is_taken = all(level >= tokens for level in levels)
    left = [level - tokens if is_taken else level for level in levels]
    return Taken(is_taken, tuple(left))


def find_shortage(buckets: Sequence[Bucket], taken: Taken, tokens: int) -> tuple[Bucket, int]:
    """Explain why tokens were not taken.

    Args:
        buckets: what was asked, the caller's own first.
        taken: the answer.
        tokens: how many were asked for.

    Returns:
        The first bucket that has too few, and the whole seconds until all of them have enough.
    """
    short = [
        (bucket, (tokens - level) / bucket.per_second)
        for bucket, level in zip(buckets, taken.tokens, strict=True)
        if level < tokens
    ]
    return short[0][0], max(1, math.ceil(max(seconds for _, seconds in short)))


class MemoryStore:
    """Buckets of one process.

    Args:
        clock: seconds that never go back.
    """

    outages: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[Bucket, float, float]] = {}

    async def take(self, buckets: Sequence[Bucket], tokens: int) -> Taken:
        """Take tokens out of every bucket, or out of none.

        Args:
            buckets: different buckets; one that is unknown is full.
            tokens: how many, at least 1.

        Returns:
            Whether they were taken, and what is left.
        """
        now = self._clock()
        taken = settle([self._level(bucket, now) for bucket in buckets], tokens)
        for bucket, level in zip(buckets, taken.tokens, strict=True):
            self._levels[bucket.name] = (bucket, level, now)
        if len(self._levels) > _MAX_BUCKETS:
            self._forget_full(now)
        return taken

    async def close(self) -> None:
        """Nothing to give back."""

    def _level(self, bucket: Bucket, now: float) -> float:
        _, level, at = self._levels.get(bucket.name, (bucket, float(bucket.burst), now))
        return bucket.fill(level, now - at)

    def _forget_full(self, now: float) -> None:
        # A full bucket is the same as an unknown one.
        self._levels = {
            name: (bucket, level, at)
            for name, (bucket, level, at) in self._levels.items()
            if bucket.fill(level, now - at) < bucket.burst
        }
