"""Creates, lists, rotates and revokes API keys in the database; every change is audited."""

import dataclasses
import datetime
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, cast

from sqlalchemy import CursorResult, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from serving.gateway.auth.keys import KEY_ID_PATTERN, NewKey, hash_key, make_key
from serving.gateway.database.audit import add_audit
from serving.gateway.database.engine import reading, writing
from serving.gateway.database.tables import ApiKeyRow
from serving.gateway.errors import ConflictError, NotFoundError, UnprocessableError
from serving.gateway.scopes import Scope

MAX_NAME_LENGTH: Final = 200
_LIST: Final = "List them with `loupe keys list --all`."


class KeyState(StrEnum):
    """Whether a key opens anything."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclasses.dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as it is stored.

    Attributes:
        key_id: its public id.
        name: what its owner calls it.
        scopes: what it allows.
        created_at: when it was made.
        expires_at: when it ends; None for never.
        revoked_at: when it was revoked; None when it was not.
        previous_expires_at: until when the secret before the last rotation works too.
        key_hash: keyed hash of the key.
        previous_hash: keyed hash of the key before the last rotation.
    """

    key_id: str
    name: str
    scopes: frozenset[Scope]
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    revoked_at: datetime.datetime | None
    previous_expires_at: datetime.datetime | None
    key_hash: str = dataclasses.field(repr=False)
    previous_hash: str | None = dataclasses.field(repr=False)

    def state(self, now: datetime.datetime) -> KeyState:
        """Tell whether the key opens anything.

        Args:
            now: the moment, with its zone.

        Returns:
            Its state at that moment.
        """
        if self.revoked_at is not None:
            return KeyState.REVOKED
        is_over = self.expires_at is not None and self.expires_at <= now
        return KeyState.EXPIRED if is_over else KeyState.ACTIVE


_COLUMNS: Final = [getattr(ApiKeyRow, field.name) for field in dataclasses.fields(KeyEntry)]


class KeyStore:
    """The table of keys."""

    def __init__(self, engine: AsyncEngine, pepper: bytes) -> None:
        """Remember where keys are; connects to nothing yet.

        Args:
            engine: the database.
            pepper: what keys are hashed with.
        """
        self._engine = engine
        self._pepper = pepper

    async def create(
        self,
        name: str,
        scopes: Iterable[Scope],
        *,
        actor: str,
        expires_at: datetime.datetime | None = None,
    ) -> NewKey:
        """Make a key.

        Args:
            name: what its owner calls it, 1 to 200 printable characters.
            scopes: what it allows, at least one.
            actor: who makes it, for the audit log.
            expires_at: when it ends; None for never.

        Returns:
            The key, for the only time.

        Raises:
            UnprocessableError: a bad name, no scope, or an end in the past.
        """
        granted, now = frozenset(scopes), _now()
        _check_name(name)
        _check_scopes(granted)
        _check_end(expires_at, now)
        key = make_key()
        values = {
            "key_id": key.key_id,
            "name": name,
            "key_hash": hash_key(key.text, self._pepper),
            "scopes": sorted(granted),
            "created_at": now,
            "expires_at": expires_at,
        }
        async with writing(self._engine) as session:
            await session.execute(insert(ApiKeyRow).values(values))
            details = {"name": name, "scopes": sorted(granted), "expires_at": _text(expires_at)}
            add_audit(
                session, actor=actor, action="key.create", subject=key.key_id, details=details
            )
        return key

    async def list_keys(self) -> list[KeyEntry]:
        """Read every key, those that open nothing any more included.

        Returns:
            The oldest first.
        """
        async with reading(self._engine) as session:
            rows = await session.execute(
                select(*_COLUMNS).order_by(ApiKeyRow.created_at, ApiKeyRow.key_id)
            )
            return [_to_entry(row._mapping) for row in rows]  # pyright: ignore[reportPrivateUsage]

    async def rotate(
        self,
        key_id: str,
        *,
        actor: str,
        grace: datetime.timedelta = datetime.timedelta(0),
        expires_at: datetime.datetime | None = None,
    ) -> NewKey:
        """Give a key a new secret; its id, and with it history and limits, stay.

        Args:
            key_id: the key.
            actor: who asks, for the audit log.
            grace: how long the secret until now works beside the new one.
            expires_at: a new end of the key; None keeps the one it has.

        Returns:
            The key with its new secret, for the only time.

        Raises:
            NotFoundError: no such key.
            ConflictError: the key is revoked or expired, or was changed meanwhile.
            UnprocessableError: an end in the past.
        """
        now = _now()
        _check_end(expires_at, now)
        key = make_key(key_id)
        async with writing(self._engine) as session:
            entry = await _find(session, key_id)
            renewed = dataclasses.replace(entry, expires_at=expires_at or entry.expires_at)
            if renewed.state(now) is not KeyState.ACTIVE:
                raise ConflictError(
                    f"key '{key_id}' is {renewed.state(now)}: a new secret would open nothing.",
                    fix="Make a new key, or give an expired one a new end.",
                )
            changes = {
                "key_hash": hash_key(key.text, self._pepper),
                "previous_hash": entry.key_hash if grace else None,
                "previous_expires_at": now + grace if grace else None,
                "expires_at": renewed.expires_at,
            }
            await _change(session, entry, changes)
            details = {"grace_seconds": grace.total_seconds(), "expires_at": _text(expires_at)}
            add_audit(session, actor=actor, action="key.rotate", subject=key_id, details=details)
        return key

    async def revoke(self, key_id: str, *, actor: str) -> KeyEntry:
        """End a key, and the secret before its last rotation, for good.

        Args:
            key_id: the key; one that is revoked already stays as it is.
            actor: who asks, for the audit log.

        Returns:
            The key.

        Raises:
            NotFoundError: no such key.
            ConflictError: the key was changed meanwhile.
        """
        async with writing(self._engine) as session:
            entry = await _find(session, key_id)
            if entry.revoked_at is not None:
                return entry
            revoked_at = _now()
            changes = {
                "revoked_at": revoked_at,
                "previous_hash": None,
                "previous_expires_at": None,
            }
            await _change(session, entry, changes)
            details = {"name": entry.name}
            add_audit(session, actor=actor, action="key.revoke", subject=key_id, details=details)
        return dataclasses.replace(
            entry, revoked_at=revoked_at, previous_hash=None, previous_expires_at=None
        )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _text(moment: datetime.datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _to_entry(row: Any) -> KeyEntry:
    # A scope that a newer program granted means nothing to this one.
    known = frozenset(Scope(scope) for scope in row["scopes"] if scope in set(Scope))
    values: dict[str, Any] = {**row, "scopes": known}
    return KeyEntry(**values)


async def _find(session: AsyncSession, key_id: str) -> KeyEntry:
    row = None
    # PostgreSQL refuses some text, such as a NUL: what is no id is not asked for.
    if KEY_ID_PATTERN.fullmatch(key_id):
        found = await session.execute(select(*_COLUMNS).where(ApiKeyRow.key_id == key_id))
        row = found.one_or_none()
    if row is None:
        raise NotFoundError(f"there is no key {key_id[:40]!r}.", got=repr(key_id[:40]), fix=_LIST)
    return _to_entry(row._mapping)  # pyright: ignore[reportPrivateUsage]


async def _change(session: AsyncSession, entry: KeyEntry, changes: dict[str, Any]) -> None:
    # Only what was read is changed: of two rotations at once, one would show a key that is dead.
    unchanged = (ApiKeyRow.key_id == entry.key_id, ApiKeyRow.key_hash == entry.key_hash)
    statement = update(ApiKeyRow).where(*unchanged, ApiKeyRow.revoked_at.is_(None)).values(changes)
    result = cast(CursorResult[Any], await session.execute(statement))
    if result.rowcount != 1:
        raise ConflictError(f"key '{entry.key_id}' was changed meanwhile.", fix="Look, try again.")


def _check_name(name: str) -> None:
    if not (name.strip() and len(name) <= MAX_NAME_LENGTH and name.isprintable()):
        raise UnprocessableError(
            f"name of the key is {name[:40]!r} ({len(name)} characters).",
            got=f"{name[:40]!r}",
            accepted=f"1 to {MAX_NAME_LENGTH} printable characters",
            fix="Name it after who uses it.",
        )


def _check_scopes(scopes: frozenset[Scope]) -> None:
    if not scopes:
        raise UnprocessableError(
            "the key has no scope and would open nothing.",
            accepted=", ".join(Scope),
            fix="Give at least one scope.",
        )


def _check_end(expires_at: datetime.datetime | None, now: datetime.datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise UnprocessableError(
            f"the key would have ended at {expires_at.isoformat()}.",
            got=expires_at.isoformat(),
            accepted=f"a moment after {now.isoformat()}",
            fix="Give an end in the future.",
        )
