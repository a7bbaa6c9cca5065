"""The copy of the keys in memory: what it lets in, and what it does without a database."""

import asyncio
import datetime
import time

import pytest

from serving.gateway.auth import keys
from serving.gateway.auth.key_copy import KeyCopy
from serving.gateway.auth.key_ring import KeyRing
from serving.gateway.auth.keys import make_key
from serving.gateway.errors import UnauthenticatedError, UnavailableError
from serving.gateway.scopes import Scope

DAY = datetime.timedelta(days=1)
REFRESH_SECONDS = 0.05


@pytest.fixture
def ring(store, pepper, clock):
    return KeyRing(store, pepper, refresh_seconds=REFRESH_SECONDS, now=clock)


@pytest.fixture
async def started(ring):
    await ring.start()
    yield ring
    await ring.stop()


async def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


def is_known(ring, text):
    try:
        ring.check(text)
    except UnauthenticatedError:
        return False
    return True


@pytest.mark.anyio
async def test_a_new_key_works_and_a_revoked_one_stops_without_a_restart(started, store):
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    await wait_until(lambda: is_known(started, key.text))
    assert started.check(key.text).scopes == {Scope.PREDICT}
    await store.revoke(key.key_id, actor="me")
    await wait_until(lambda: not is_known(started, key.text))
    with pytest.raises(UnauthenticatedError, match=f"API key '{key.key_id}' is revoked"):
        started.check(key.text)


@pytest.mark.anyio
async def test_only_the_whole_key_opens(ring, store):
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    other = await store.create("spy", [Scope.PREDICT], actor="me")
    await ring.start()
    await ring.stop()
    swapped = f"lk_{key.key_id}_{other.text.rpartition('_')[2]}"
    changed = key.text[:-1] + ("0" if key.text[-1] != "0" else "1")
    stored = ring._entries[key.key_id].key_hash
    texts = [swapped, changed, key.text.upper(), key.text + " ", f"lk_{key.key_id}_{stored}"]
    for text in [*texts, "", make_key().text, "\ud800"]:
        with pytest.raises(UnauthenticatedError, match="the API key is not known"):
            ring.check(text)
    assert ring.check(key.text).name == "shop"


@pytest.mark.anyio
async def test_keys_end_by_the_clock(ring, store, clock):
    key = await store.create("shop", [Scope.PREDICT], actor="me", expires_at=clock.now + DAY)
    await ring.start()
    await ring.stop()
    ring.check(key.text)
    clock.now += DAY
    with pytest.raises(UnauthenticatedError, match="is expired"):
        ring.check(key.text)


@pytest.mark.anyio
async def test_the_old_secret_works_for_its_time_of_grace(ring, store, clock):
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    rotated = await store.rotate(key.key_id, actor="me", grace=DAY)
    await ring.start()
    await ring.stop()
    assert ring.check(key.text) == ring.check(rotated.text)
    clock.now += DAY + datetime.timedelta(seconds=30)
    ring.check(rotated.text)
    with pytest.raises(UnauthenticatedError, match="was rotated"):
        ring.check(key.text)


@pytest.mark.anyio
async def test_unknown_ids_cost_the_same_comparisons(started, store, monkeypatch):
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    await wait_until(lambda: is_known(started, key.text))
    compared = []
    compare = keys.hmac.compare_digest

    def count(first, second):
        compared.append((len(first), len(second)))
        return compare(first, second)

    monkeypatch.setattr(keys.hmac, "compare_digest", count)
    counts = []
    for text in (key.text, make_key(key.key_id).text, make_key().text, "nothing like a key"):
        is_known(started, text)
        counts.append(compared[:])
        compared.clear()
    assert counts == [[(64, 64), (64, 64)]] * 4


@pytest.mark.anyio
async def test_the_last_known_keys_work_without_a_database(losable_store, database_file, pepper):
    key = await losable_store.create("shop", [Scope.PREDICT], actor="me")
    ring = KeyRing(losable_store, pepper, refresh_seconds=REFRESH_SECONDS)
    await ring.start()
    aside = database_file.with_suffix(".aside")
    await losable_store._engine.dispose()
    database_file.rename(aside)
    database_file.mkdir()
    await wait_until(lambda: ring._is_failing)
    assert ring.check(key.text).name == "shop"
    age = ring.age_seconds
    await asyncio.sleep(2 * REFRESH_SECONDS)
    assert ring.age_seconds > age
    database_file.rmdir()
    aside.rename(database_file)
    await losable_store.revoke(key.key_id, actor="me")
    await wait_until(lambda: not is_known(ring, key.text))
    await ring.stop()


@pytest.mark.anyio
async def test_keys_that_were_never_read_are_unavailable_not_wrong(
    losable_store, database_file, pepper
):
    await losable_store._engine.dispose()
    database_file.unlink()
    database_file.mkdir()
    ring = KeyRing(losable_store, pepper)
    await ring.start()
    assert ring.age_seconds is None
    with pytest.raises(UnavailableError, match="their table could not be read yet") as caught:
        ring.check(make_key().text)
    assert caught.value.headers["Retry-After"] == "2"
    await ring.stop()


@pytest.fixture
def copy(tmp_path, pepper, clock):
    return KeyCopy(tmp_path, pepper, database="tests", max_age=DAY, now=clock)


@pytest.fixture
def lose_database(losable_store, database_file):
    """Function that takes the database away; returns one that brings it back."""

    async def lose_database():
        aside = database_file.with_suffix(".aside")
        await losable_store._engine.dispose()
        database_file.rename(aside)
        database_file.mkdir()

        def bring_back():
            database_file.rmdir()
            aside.rename(database_file)

        return bring_back

    return lose_database


@pytest.fixture
def make_ring(losable_store, pepper, copy, clock):
    def make_ring():
        return KeyRing(losable_store, pepper, copy=copy, refresh_seconds=REFRESH_SECONDS, now=clock)

    return make_ring


@pytest.mark.anyio
async def test_keys_of_an_earlier_run_work_until_the_database_is_back(
    losable_store, make_ring, lose_database
):
    kept = await losable_store.create("shop", [Scope.PREDICT], actor="me")
    ended = await losable_store.create("thief", [Scope.PREDICT], actor="me")
    earlier = make_ring()
    await earlier.start()
    await earlier.stop()
    await losable_store.revoke(ended.key_id, actor="me")  # no gateway runs that could see it
    bring_back = await lose_database()
    ring = make_ring()
    await ring.start()
    assert ring.check(kept.text).name == "shop"
    assert ring.recall(kept.key_id, ring.mark(kept.text))
    assert ring.check(ended.text)
    with pytest.raises(UnavailableError, match="is not among the last known ones"):
        ring.check(make_key().text)
    assert ring.age_seconds < 60
    bring_back()
    await wait_until(lambda: not is_known(ring, ended.text))
    with pytest.raises(UnauthenticatedError, match="is revoked"):
        ring.check(ended.text)
    with pytest.raises(UnauthenticatedError, match="is not known"):
        ring.check(make_key().text)
    assert ring.check(kept.text).name == "shop"
    await ring.stop()


@pytest.mark.anyio
async def test_a_revocation_reaches_the_copy(losable_store, make_ring, lose_database):
    key = await losable_store.create("shop", [Scope.PREDICT], actor="me")
    earlier = make_ring()
    await earlier.start()
    await losable_store.revoke(key.key_id, actor="me")
    await wait_until(lambda: not is_known(earlier, key.text))
    await earlier.stop()
    await lose_database()
    ring = make_ring()
    await ring.start()
    with pytest.raises(UnavailableError):
        ring.check(key.text)
    await ring.stop()


@pytest.mark.anyio
async def test_keys_of_an_earlier_run_end_by_the_clock(
    losable_store, make_ring, lose_database, clock
):
    key = await losable_store.create(
        "shop", [Scope.PREDICT], actor="me", expires_at=clock.now + DAY / 2
    )
    earlier = make_ring()
    await earlier.start()
    await earlier.stop()
    await lose_database()
    clock.now += DAY / 2
    ring = make_ring()
    await ring.start()
    with pytest.raises(UnauthenticatedError, match="is expired"):
        ring.check(key.text)
    await ring.stop()


@pytest.mark.anyio
async def test_an_outage_does_not_make_the_copy_last_for_ever(
    losable_store, make_ring, lose_database, clock
):
    key = await losable_store.create("shop", [Scope.PREDICT], actor="me")
    earlier = make_ring()
    await earlier.start()
    await earlier.stop()
    await lose_database()
    clock.now += DAY - datetime.timedelta(seconds=1)
    ring = make_ring()
    await ring.start()
    assert ring.check(key.text)
    assert ring.age_seconds > DAY.total_seconds() - 2
    await wait_until(lambda: ring.age_seconds is None)
    with pytest.raises(UnavailableError, match="cannot be checked"):
        ring.check(key.text)
    await ring.stop()


@pytest.mark.anyio
@pytest.mark.parametrize("error", [OSError("disk full"), RuntimeError("nobody thought of this")])
async def test_a_copy_that_cannot_be_written_costs_nothing_else(store, pepper, copy, error):
    def fail(_entries):
        raise error

    copy.write = fail
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    ring = KeyRing(store, pepper, copy=copy, refresh_seconds=REFRESH_SECONDS)
    await ring.start()
    assert ring.check(key.text)
    await store.revoke(key.key_id, actor="me")
    await wait_until(lambda: not is_known(ring, key.text))
    await ring.stop()
