import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.throttle import buckets as buckets_module
from serving.gateway.throttle.buckets import Bucket, MemoryStore, find_shortage, settle


def test_a_clock_that_goes_back_gives_and_takes_nothing():
    assert Bucket("a", 10.0, 5).fill(2.0, -60.0) == 2.0


@given(
    st.floats(0.01, 1000),
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 60), st.integers(1, 50)), max_size=60),
)
def test_no_schedule_gets_more_than_the_burst_and_the_rate(per_second, burst, schedule):
    now, total = 0.0, 0
    store, bucket = MemoryStore(lambda: now), Bucket("a", per_second, burst)
    for pause, tokens in schedule:
        now += pause
        taken = asyncio.run(store.take([bucket], tokens))
        total += tokens * taken.is_taken
        assert -1e-9 <= taken.tokens[0] <= burst
        assert total <= burst + now * per_second + 1e-6


@pytest.mark.parametrize(
    ("levels", "expected"), [((5.0, 2.0), (True, (3.0, 0.0))), ((5.0, 1.9), (False, (5.0, 1.9)))]
)
def test_tokens_are_taken_from_all_buckets_or_none(levels, expected):
    taken = settle(levels, 2)
    assert (taken.is_taken, taken.tokens) == expected


def test_a_shortage_names_the_callers_own_bucket_and_waits_for_the_slowest():
    own, all_callers = Bucket("own", 2.0, 5), Bucket("all", 0.5, 5)
    taken = settle((1.0, 1.0), 2)
    assert find_shortage([own, all_callers], taken, 2) == (own, 2)
    assert find_shortage([own, all_callers], settle((4.0, 1.0), 2), 2) == (all_callers, 2)
    assert find_shortage([own], settle((1.9,), 2), 2) == (own, 1)


def test_full_buckets_are_forgotten_when_there_are_many(monkeypatch):
    monkeypatch.setattr(buckets_module, "_MAX_BUCKETS", 3)
    now = 0.0
    store = MemoryStore(lambda: now)
    slow = Bucket("slow", 0.001, 2)
    asyncio.run(store.take([slow], 2))
    for number in range(3):
        now += 5.0
        asyncio.run(store.take([Bucket(f"key:{number}", 1.0, 2)], 1))
    assert set(store._levels) == {"slow", "key:2"}
    assert not asyncio.run(store.take([slow], 1)).is_taken
