"""How often signing in may fail, from where."""

import pytest

from serving.gateway.console.sign_in_limit import SignInLimit
from serving.gateway.errors import ThrottledError
from serving.gateway.settings import ThrottleSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
def make(clock):
    def make(**limits):
        return SignInLimit(ThrottleSettings(**limits), clock)

    return make


async def fail(limit, address, times=1):
    for _ in range(times):
        await limit.count_failure(address)


async def test_an_address_is_told_when_to_come_back(make, clock):
    limit = make(sign_in_per_minute=6)
    await fail(limit, "192.0.2.1", 6)
    with pytest.raises(ThrottledError, match="from your address have failed") as refusal:
        await fail(limit, "192.0.2.1")
    assert refusal.value.headers == {"Retry-After": "10"}
    assert refusal.value.accepted == "6 wrong keys a minute"
    assert refusal.value.fix == "Try again in 10 s, with a key that works."
    clock.now += 10.1
    await fail(limit, "192.0.2.1")
    with pytest.raises(ThrottledError):
        await fail(limit, "192.0.2.1")


async def test_other_addresses_have_their_own_count(make):
    limit = make(sign_in_per_minute=1)
    await fail(limit, "192.0.2.1")
    await fail(limit, "192.0.2.2")


async def test_all_addresses_together_have_a_count_too(make):
    limit = make(sign_in_total_per_minute=2)
    await fail(limit, "192.0.2.1")
    await fail(limit, "192.0.2.2")
    with pytest.raises(ThrottledError, match="from everywhere have failed") as refusal:
        await fail(limit, "192.0.2.3")
    assert refusal.value.headers == {"Retry-After": "30"}


async def test_an_address_that_has_spent_its_own_costs_others_nothing(make):
    limit = make(sign_in_per_minute=1, sign_in_total_per_minute=2)
    await fail(limit, "192.0.2.1")
    for _ in range(5):
        with pytest.raises(ThrottledError, match="from your address"):
            await fail(limit, "192.0.2.1")
    await fail(limit, "192.0.2.2")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2001:db8::1", "2001:db8::ffff:1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("", "made up by a proxy"),
    ],
)
async def test_different_names_of_one_caller_count_together(make, first, second):
    limit = make(sign_in_per_minute=1)
    await fail(limit, first)
    with pytest.raises(ThrottledError):
        await fail(limit, second)


async def test_other_networks_are_other_callers(make):
    limit = make(sign_in_per_minute=1)
    await fail(limit, "2001:db8::1")
    await fail(limit, "2001:db8:0:1::1")


async def test_many_addresses_take_no_memory_for_ever(make, clock):
    limit = make(sign_in_per_minute=10, sign_in_total_per_minute=10)
    for number in range(12_000):
        clock.now += 0.001
        try:
            await fail(limit, f"10.0.{number // 250}.{number % 250}")
        except ThrottledError:
            continue
    assert len(limit._store._levels) <= 10_001
