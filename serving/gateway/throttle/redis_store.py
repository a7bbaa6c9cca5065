"""Token buckets in Redis, shared by all processes that use it."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from serving.gateway.throttle.buckets import Bucket, Taken

# The braces keep all buckets on one node of a cluster, where a script must find its keys.
_PREFIX: Final = "loupe:{throttle}:"
_SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local tokens = tonumber(ARGV[1])
local levels, is_taken = {}, 1
for i, key in ipairs(KEYS) do
  local per_second, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local found = redis.call('HMGET', key, 'tokens', 'updated_at')
  local level = burst
  if found[1] then
    local elapsed = math.max(0, now - tonumber(found[2]))
    level = math.min(burst, tonumber(found[1]) + elapsed * per_second)
  end
  if level < tokens then is_taken = 0 end
  levels[i] = level
end
for i, key in ipairs(KEYS) do
  local per_second, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  if is_taken == 1 then levels[i] = levels[i] - tokens end
  redis.call('HSET', key, 'tokens', string.format('%.6f', levels[i]),
    'updated_at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil((burst - levels[i]) / per_second * 1000) + 1000)
  levels[i] = string.format('%.6f', levels[i])
end
return {is_taken, unpack(levels)}
"""


class RedisStore:
    """Buckets in Redis; one that is full expires by itself.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_seconds: limit of connecting and of each call.
    """

    outages: ClassVar[tuple[type[Exception], ...]] = (RedisError, OSError)

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._client = cast(
            "Any",
            Redis.from_url(
                url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds
            ),
        )
        self._script = self._client.register_script(_SCRIPT)

    async def take(self, buckets: Sequence[Bucket], tokens: int) -> Taken:
        """Take tokens out of every bucket, or out of none.

        Args:
            buckets: different buckets; one that is unknown is full.
            tokens: how many, at least 1.

        Returns:
            Whether they were taken, and what is left.
        """
        rates = [number for bucket in buckets for number in (bucket.per_second, bucket.burst)]
        is_taken, *levels = await self._script(
            keys=[_PREFIX + bucket.name for bucket in buckets], args=[tokens, *rates]
        )
        return Taken(bool(is_taken), tuple(float(level) for level in levels))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
