import asyncio
import time

import pytest

from configs.errors import ConfigError
from serving.gateway.database.engine import create_engine
from serving.gateway.database.migrate import migrate
from serving.gateway.errors import ThrottledError, TooLargeError
from serving.gateway.settings import ThrottleSettings
from serving.gateway.throttle.buckets import MemoryStore
from serving.gateway.throttle.throttle import Throttle, ThrottleState, make_throttle

pytestmark = pytest.mark.anyio


@pytest.fixture
def make(clock):
    def make(**limits):
        return Throttle(ThrottleSettings(**limits), MemoryStore(clock), clock)

    return make


async def test_a_caller_is_told_what_is_left(make):
    state = await make(key_per_second=2, key_burst=10).take("seller", 3)
    assert state == ThrottleState(limit=10, remaining=7, reset_seconds=2)
    assert state.to_headers() == {
        "RateLimit-Limit": "10",
        "RateLimit-Remaining": "7",
        "RateLimit-Reset": "2",
    }


async def test_a_caller_who_spent_the_share_is_told_when_to_come_back(make, clock):
    throttle = make(key_per_second=0.5, key_burst=4)
    await throttle.take("seller", 3)
    with pytest.raises(ThrottledError, match="your key makes too many requests") as refusal:
        await throttle.take("seller", 3)
    error = refusal.value
    assert error.http_status == 429
    assert error.headers == {
        "Retry-After": "4",
        "RateLimit-Limit": "4",
        "RateLimit-Remaining": "1",
        "RateLimit-Reset": "6",
    }
    assert "0.5 images per second, bursts of 4" in error.accepted
    assert error.fix == "Try again in 4 s."
    clock.now += 3.9
    with pytest.raises(ThrottledError):
        await throttle.take("seller", 3)
    clock.now += 0.2
    assert (await throttle.take("seller", 3)).remaining == 0


async def test_callers_do_not_spend_each_others_share(make):
    throttle = make(key_burst=1, key_per_second=0.01)
    await throttle.take("one")
    await throttle.take("two")


async def test_all_callers_together_have_a_limit_of_their_own(make):
    throttle = make(total_burst=2, total_per_second=0.1)
    await throttle.take("one")
    await throttle.take("two")
    with pytest.raises(ThrottledError, match="all callers together") as refusal:
        await throttle.take("three")
    assert refusal.value.headers["Retry-After"] == "10"
    assert refusal.value.headers["RateLimit-Remaining"] == "100"


async def test_a_batch_that_no_full_bucket_can_pay_is_not_told_to_wait(make):
    with pytest.raises(TooLargeError, match="costs 9 tokens") as refusal:
        await make(key_burst=8).take("seller", 9)
    assert refusal.value.accepted == "at most 8 images in one request"


@pytest.mark.parametrize("key_id", ["jwt:" + "x" * 500, "jwt:Zoë", "jwt:a\0b", "\udcff"])
async def test_a_subject_that_no_store_can_hold_counts_all_the_same(postgresql_url, key_id):
    await migrate(postgresql_url)
    engine = create_engine(postgresql_url)
    settings = ThrottleSettings(store="database", key_burst=1, key_per_second=0.001)
    throttle = make_throttle(settings, engine)
    await throttle.take(key_id)
    with pytest.raises(ThrottledError):
        await throttle.take(key_id)
    await throttle.take(key_id + "y")
    assert not throttle.is_degraded
    await engine.dispose()


async def test_predictions_go_on_without_redis_and_are_counted_by_each_process(redis_server, clock):
    settings = ThrottleSettings(store="redis", redis_url=redis_server.url, key_burst=2)
    throttle = make_throttle(settings)
    throttle._clock = throttle._local._clock = clock
    assert (await throttle.take("seller")).remaining == 1
    redis_server.stop()
    assert (await throttle.take("seller")).remaining == 1
    assert throttle.is_degraded
    assert (await throttle.take("seller")).remaining == 0
    with pytest.raises(ThrottledError):
        await throttle.take("seller")
    redis_server.start()
    clock.now += 2.5
    assert (await throttle.take("seller")).remaining == 1
    assert not throttle.is_degraded
    await throttle.close()


async def test_a_store_that_hangs_is_given_up_on(clock):
    async def swallow(reader, writer):
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    throttle = make_throttle(
        ThrottleSettings(store="redis", redis_url=f"redis://127.0.0.1:{port}/0")
    )
    started = time.monotonic()
    await throttle.take("seller")
    assert throttle.is_degraded
    assert time.monotonic() - started < 2.0
    started = time.monotonic()
    await throttle.take("seller")  # not asked again at once
    assert time.monotonic() - started < 0.1
    await throttle.close()
    server.close()


async def test_a_database_that_is_gone_costs_limits_and_not_predictions(tmp_path):
    engine = create_engine(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")  # without tables
    throttle = make_throttle(ThrottleSettings(store="database", key_burst=1), engine)
    await throttle.take("seller")
    assert throttle.is_degraded
    with pytest.raises(ThrottledError):
        await throttle.take("seller")
    await engine.dispose()


@pytest.mark.parametrize(
    ("store", "message"),
    [("redis", "throttle.redis_url is empty"), ("database", "no database was given")],
)
async def test_a_store_that_lacks_something_is_refused(store, message):
    with pytest.raises(ConfigError, match=message):
        make_throttle(ThrottleSettings(store=store))
