"""The table of keys: what is stored, what is not, and who is told."""

import asyncio
import datetime

import pytest
from sqlalchemy import select, update

from serving.gateway.auth.key_store import KeyState, _change
from serving.gateway.auth.keys import hash_key
from serving.gateway.database.engine import writing
from serving.gateway.database.tables import ApiKeyRow, AuditRow
from serving.gateway.errors import (
    ConflictError,
    NotFoundError,
    UnavailableError,
    UnprocessableError,
)
from serving.gateway.scopes import Scope

DAY = datetime.timedelta(days=1)
TABLES = (ApiKeyRow, AuditRow)


@pytest.fixture
def now():
    return datetime.datetime.now(datetime.UTC)


async def read_audit(engine):
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(AuditRow.actor, AuditRow.action, AuditRow.subject, AuditRow.details).order_by(
                AuditRow.audit_id
            )
        )
        return [tuple(row) for row in rows]


@pytest.mark.anyio
async def test_only_the_hash_of_a_key_is_stored(store, pepper, engine, now):
    key = await store.create("shop", [Scope.READ, Scope.PREDICT], actor="me", expires_at=now + DAY)
    (entry,) = await store.list_keys()
    assert (entry.key_id, entry.name) == (key.key_id, "shop")
    assert entry.scopes == {Scope.READ, Scope.PREDICT}
    assert entry.expires_at == now + DAY
    assert entry.key_hash == hash_key(key.text, pepper)
    assert entry.key_hash not in repr(entry)
    async with engine.connect() as connection:
        tables = [(await connection.execute(select(each.__table__))).all() for each in TABLES]
    assert key.key_id in str(tables)
    assert key.text.rpartition("_")[2] not in str(tables)


@pytest.mark.anyio
async def test_every_change_is_audited_without_secrets(store, engine):
    key = await store.create("shop", [Scope.PREDICT], actor="key-1")
    rotated = await store.rotate(key.key_id, actor="key-2", grace=DAY)
    await store.revoke(key.key_id, actor="key-3")
    await store.revoke(key.key_id, actor="key-4")
    audit = await read_audit(engine)
    assert [row[:3] for row in audit] == [
        ("key-1", "key.create", key.key_id),
        ("key-2", "key.rotate", key.key_id),
        ("key-3", "key.revoke", key.key_id),
    ]
    assert audit[0][3] == {"name": "shop", "scopes": ["predict"], "expires_at": None}
    assert audit[1][3]["grace_seconds"] == 86400
    for text in (key.text, rotated.text):
        assert text.rpartition("_")[2] not in str(audit)


@pytest.mark.anyio
async def test_a_rotated_key_keeps_its_id_and_for_a_while_its_old_secret(store, pepper, now):
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    rotated = await store.rotate(key.key_id, actor="me", grace=DAY, expires_at=now + 9 * DAY)
    (entry,) = await store.list_keys()
    assert rotated.key_id == key.key_id
    assert entry.key_hash == hash_key(rotated.text, pepper)
    assert entry.previous_hash == hash_key(key.text, pepper)
    assert DAY - (entry.previous_expires_at - now) < datetime.timedelta(seconds=30)
    assert entry.expires_at == now + 9 * DAY


@pytest.mark.anyio
async def test_rotation_without_grace_forgets_the_old_secret(store):
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    await store.rotate(key.key_id, actor="me")
    (entry,) = await store.list_keys()
    assert (entry.previous_hash, entry.previous_expires_at) == (None, None)


@pytest.mark.anyio
async def test_revoking_ends_the_old_secret_too(store, now):
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    await store.rotate(key.key_id, actor="me", grace=DAY)
    entry = await store.revoke(key.key_id, actor="me")
    (stored,) = await store.list_keys()
    assert stored == entry
    assert (stored.state(now), stored.previous_hash) == (KeyState.REVOKED, None)


@pytest.mark.anyio
async def test_a_key_that_was_changed_meanwhile_is_left_alone(store, engine):
    key = await store.create("shop", [Scope.PREDICT], actor="me")
    (seen,) = await store.list_keys()
    await store.rotate(key.key_id, actor="somebody else")
    (rotated,) = await store.list_keys()
    with pytest.raises(ConflictError, match=f"key '{key.key_id}' was changed meanwhile"):
        async with writing(engine) as session:
            await _change(session, seen, {"key_hash": "0" * 64})
    assert await store.list_keys() == [rotated]


@pytest.mark.anyio
async def test_what_is_over_is_not_rotated(store, now):
    revoked = await store.create("a", [Scope.PREDICT], actor="me")
    await store.revoke(revoked.key_id, actor="me")
    with pytest.raises(ConflictError, match=f"key '{revoked.key_id}' is revoked"):
        await store.rotate(revoked.key_id, actor="me", expires_at=now + DAY)
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(milliseconds=50)
    expired = await store.create("b", [Scope.PREDICT], actor="me", expires_at=soon)
    await asyncio.sleep(0.1)
    with pytest.raises(ConflictError, match=f"key '{expired.key_id}' is expired"):
        await store.rotate(expired.key_id, actor="me")
    await store.rotate(expired.key_id, actor="me", expires_at=now + DAY)


@pytest.mark.anyio
async def test_unknown_ids_are_not_found_whatever_they_hold(store, now):
    await store.create("shop", [Scope.PREDICT], actor="me")
    for key_id in ("nothing", "' OR 1=1 --", "x" * 500, "a\0b"):
        with pytest.raises(NotFoundError, match="there is no key"):
            await store.revoke(key_id, actor="me")
    assert [entry.state(now) for entry in await store.list_keys()] == [KeyState.ACTIVE]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "name of the key is ''"),
        ({"name": "  "}, "name of the key is '  '"),
        ({"name": "a\nb"}, r"name of the key is 'a\\nb'"),
        ({"name": "x" * 201}, "201 characters"),
        ({"scopes": []}, "the key has no scope"),
        (
            {"expires_at": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)},
            "the key would have ended",
        ),
    ],
)
async def test_bad_values_make_no_key(store, arguments, message):
    values = {"name": "shop", "scopes": [Scope.READ], "actor": "me"} | arguments
    with pytest.raises(UnprocessableError, match=message):
        await store.create(**values)
    assert await store.list_keys() == []


@pytest.mark.anyio
async def test_a_key_ends_at_its_moment(store, now):
    await store.create("shop", [Scope.READ], actor="me", expires_at=now + DAY)
    (entry,) = await store.list_keys()
    assert entry.state(now + DAY - datetime.timedelta(microseconds=1)) is KeyState.ACTIVE
    assert entry.state(now + DAY) is KeyState.EXPIRED


@pytest.mark.anyio
async def test_a_scope_of_a_newer_program_grants_nothing(store, engine):
    await store.create("shop", [Scope.READ], actor="me")
    async with engine.begin() as connection:
        await connection.execute(update(ApiKeyRow).values(scopes=["read", "fly"]))
    (entry,) = await store.list_keys()
    assert entry.scopes == {Scope.READ}


@pytest.mark.anyio
async def test_a_lost_database_is_said_to_be_lost(losable_store, database_file):
    await losable_store.list_keys()
    await losable_store._engine.dispose()
    database_file.rename(database_file.with_suffix(".aside"))
    database_file.mkdir()
    with pytest.raises(UnavailableError, match="the database does not answer"):
        await losable_store.list_keys()
