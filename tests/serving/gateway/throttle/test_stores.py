"""What every store must do, in memory, SQLite, PostgreSQL and Redis."""

import asyncio

import pytest

from serving.gateway.throttle.buckets import Bucket

pytestmark = pytest.mark.anyio

STILL = 1e-6  # tokens per second: nothing is gained while a test runs


async def test_an_unknown_bucket_is_full_and_what_is_taken_is_gone(stores):
    first, second = stores
    bucket = Bucket("key:a", STILL, 5)
    taken = await first.take([bucket], 2)
    assert taken.is_taken
    assert taken.tokens == pytest.approx([3], abs=1e-3)
    taken = await second.take([bucket], 3)
    assert taken.is_taken
    assert not (await first.take([bucket], 1)).is_taken


async def test_a_bucket_without_enough_leaves_the_others_alone(stores):
    store, _ = stores
    rich, poor = Bucket("key:a", STILL, 10), Bucket("total", STILL, 3)
    assert (await store.take([rich, poor], 2)).is_taken
    refused = await store.take([rich, poor], 2)
    assert not refused.is_taken
    assert refused.tokens == pytest.approx([8, 1], abs=1e-3)
    assert (await store.take([rich], 8)).is_taken


async def test_levels_come_in_the_order_of_the_question(stores):
    store, _ = stores
    buckets = [Bucket("z", STILL, 9), Bucket("a", STILL, 4)]
    assert (await store.take(buckets, 1)).tokens == pytest.approx([8, 3], abs=1e-3)
    assert (await store.take(buckets[::-1], 1)).tokens == pytest.approx([2, 7], abs=1e-3)


async def test_a_bucket_fills_with_time_up_to_its_burst(stores):
    store, _ = stores
    bucket = Bucket("key:a", 50.0, 5)
    assert (await store.take([bucket], 5)).is_taken
    assert not (await store.take([bucket], 5)).is_taken
    await asyncio.sleep(0.3)  # 15 tokens' worth
    taken = await store.take([bucket], 1)
    assert taken.tokens == pytest.approx([4], abs=1e-3)


async def test_buckets_are_apart(stores):
    store, _ = stores
    assert (await store.take([Bucket("key:a", STILL, 1)], 1)).is_taken
    assert (await store.take([Bucket("key:b", STILL, 1)], 1)).is_taken


async def test_two_processes_at_once_take_no_more_than_there_is(stores):
    total = Bucket("total", STILL, 30)

    async def ask(number):
        own = Bucket(f"key:{number % 5}", STILL, 100)
        buckets = [own, total] if number % 2 else [total, own]
        return (await stores[number % 2].take(buckets, 1)).is_taken

    answers = await asyncio.gather(*(ask(number) for number in range(80)))
    assert sum(answers) == 30
