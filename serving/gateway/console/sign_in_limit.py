"""How often signing in may fail: token buckets of one address, and of all together."""

import ipaddress
import time
from collections.abc import Callable
from typing import Final

from serving.gateway.errors import ThrottledError
from serving.gateway.settings import ThrottleSettings
from serving.gateway.throttle.buckets import Bucket, MemoryStore, find_shortage

_MINUTE_SECONDS: Final = 60
_IPV6_PREFIX: Final = 64
"""Bits that tell callers apart: whoever has one IPv6 address mostly has all of its network."""


class SignInLimit:
    """Counts failed sign-ins in this process; those that succeed are not counted, nor refused.

    A right key is let in whatever happened before: otherwise any stranger who shares an address (a
    proxy's, an office's) could lock everybody else out, and keys are too long to be guessed.

    Args:
        settings: `sign_in_per_minute` and `sign_in_total_per_minute`.
        clock: seconds that never go back.
    """

    def __init__(
        self, settings: ThrottleSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_minute = settings.sign_in_per_minute
        self._total = _make_bucket("total", settings.sign_in_total_per_minute)
        # Of this process: strangers cost the database, or Redis, nothing.
        self._store = MemoryStore(clock)

    async def count_failure(self, address: str) -> None:
        """Count a failed sign-in.

        Args:
            address: where it came from; empty where nobody knows.

        Raises:
            ThrottledError: too many of them; its headers say when to come back.
        """
        own = _make_bucket(f"address:{_find_network(address)}", self._per_minute)
        taken = await self._store.take((own, self._total), 1)
        if taken.is_taken:
            return
        limit, seconds = find_shortage((own, self._total), taken, 1)
        whose = "from your address" if limit is own else "from everywhere"
        raise ThrottledError(
            f"too many sign-ins {whose} have failed.",
            got="another wrong key",
            accepted=f"{limit.burst} wrong keys a minute",
            fix=f"Try again in {seconds} s, with a key that works.",
            headers={"Retry-After": str(seconds)},
        )


def _make_bucket(name: str, per_minute: int) -> Bucket:
    return Bucket(f"sign-in:{name}", per_minute / _MINUTE_SECONDS, per_minute)


def _find_network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""  # a socket, or what a proxy made up: all of them are one
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found), _IPV6_PREFIX), strict=False))
