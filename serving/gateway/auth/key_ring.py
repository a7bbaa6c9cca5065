"""All keys in memory, so that a request asks no database; the last known when there is none."""

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from serving.gateway.auth.key_copy import KeyCopy
from serving.gateway.auth.key_store import KeyEntry, KeyState, KeyStore
from serving.gateway.auth.keys import hash_key, is_same_hash, parse_key_id
from serving.gateway.errors import UnauthenticatedError, UnavailableError

REFRESH_SECONDS: Final = 1.0
"""How soon a new key works and a revoked one no longer does."""

_NO_HASH: Final = "0" * 64
_NOT_READ: Final = "their table could not be read yet."
_FIX: Final = "Try again when the database is back."
_RETRY: Final = {"Retry-After": "2"}
_log = structlog.stdlib.get_logger(__name__)


class KeyRing:
    """Checks API keys against a copy of the table."""

    def __init__(
        self,
        store: KeyStore,
        pepper: bytes,
        *,
        copy: KeyCopy | None = None,
        refresh_seconds: float = REFRESH_SECONDS,
        now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ) -> None:
        """Know nothing yet; `start` reads the keys.

        Args:
            store: the table of keys.
            pepper: what keys are hashed with.
            copy: where the last known keys outlive the process; None for nowhere.
            refresh_seconds: how often the table is read again.
            now: the clock.
        """
        self._store = store
        self._pepper = pepper
        self._copy = copy
        self._refresh_seconds = refresh_seconds
        self._now = now
        self._entries: dict[str, KeyEntry] = {}
        self._refreshed_at: float | None = None
        self._is_failing = False
        self._is_copied = False
        self._is_copy_failing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the keys, and keep reading them until `stop`; a lost database is no error."""
        await self._refresh()
        if self._refreshed_at is None:
            await self._take_copy()
        self._task = asyncio.create_task(self._keep_fresh(), name="key ring")

    async def stop(self) -> None:
        """Stop reading the keys."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    @property
    def age_seconds(self) -> float | None:
        """Tell how old the copy is.

        Returns:
            Seconds since the table was read; None when it never was.
        """
        if self._refreshed_at is None:
            return None
        return time.monotonic() - self._refreshed_at

    def check(self, text: str) -> KeyEntry:
        """Check what a caller says is their key.

        Args:
            text: what they sent.

        Returns:
            The key.

        Raises:
            UnauthenticatedError: no such key, or one that is revoked or expired.
            UnavailableError: the table could not be read since the start, and the key is not among
                the last known ones.
        """
        if self._refreshed_at is None:
            raise UnavailableError(
                f"API keys cannot be checked: {_NOT_READ}", fix=_FIX, headers=_RETRY
            )
        entry = self._entries.get(parse_key_id(text) or "")
        received = hash_key(text, self._pepper)
        # An unknown id costs the same comparisons as a known one.
        is_current = is_same_hash(entry.key_hash if entry else _NO_HASH, received)
        is_previous = is_same_hash((entry and entry.previous_hash) or _NO_HASH, received)
        if entry is None or not (is_current or is_previous):
            if self._is_copied:  # it may have been made, or rotated, since
                raise UnavailableError(
                    f"the API key is not among the last known ones: {_NOT_READ}",
                    fix=_FIX,
                    headers=_RETRY,
                )
            raise UnauthenticatedError("the API key is not known.")
        self._check_state(entry, is_previous=is_previous)
        return entry

    def mark(self, text: str) -> str:
        """Make what proves later that this very key was checked, without being the key.

        Args:
            text: a key that `check` has accepted.

        Returns:
            For `recall`; it holds until the key is rotated, not only until it is revoked.
        """
        return hash_key(f"mark {hash_key(text, self._pepper)}", self._pepper)

    def recall(self, key_id: str, mark: str) -> KeyEntry | None:
        """Look up a key that was checked earlier.

        Args:
            key_id: its id.
            mark: of `mark`.

        Returns:
            The key; None once it is revoked, expired or rotated.
        """
        entry = self._entries.get(key_id)
        if entry is None:
            return None
        for stored, is_previous in ((entry.key_hash, False), (entry.previous_hash, True)):
            if stored and is_same_hash(hash_key(f"mark {stored}", self._pepper), mark):
                try:
                    self._check_state(entry, is_previous=is_previous)
                except UnauthenticatedError:
                    return None
                return entry
        return None

    def _check_state(self, entry: KeyEntry, *, is_previous: bool) -> None:
        # Whoever gets here has the secret, and may be told what became of it.
        now = self._now()
        state = entry.state(now)
        if state is not KeyState.ACTIVE:
            raise UnauthenticatedError(f"the API key '{entry.key_id}' is {state}.")
        if is_previous and (entry.previous_expires_at is None or entry.previous_expires_at <= now):
            raise UnauthenticatedError(f"the API key '{entry.key_id}' was rotated.")

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._refresh_seconds)
            await self._refresh()

    async def _refresh(self) -> None:
        try:
            entries = await self._store.list_keys()
        except Exception as error:  # noqa: BLE001 (predictions go on, whatever the database says)
            if not self._is_failing:
                _log.warning("keys cannot be read, the last known ones are used", error=repr(error))
            self._is_failing = True
            self._forget_old_copy()
            return
        if self._is_failing:
            _log.info("keys can be read again", keys=len(entries))
        self._is_failing = self._is_copied = False
        self._entries = {entry.key_id: entry for entry in entries}
        self._refreshed_at = time.monotonic()
        await self._write_copy(entries)

    async def _write_copy(self, entries: Sequence[KeyEntry]) -> None:
        if self._copy is None:
            return
        try:
            await asyncio.to_thread(self._copy.write, entries)
        except Exception as error:  # noqa: BLE001 (revocations must go on being read)
            if not self._is_copy_failing:
                _log.warning("the last known keys cannot be written", error=repr(error))
            self._is_copy_failing = True
        else:
            self._is_copy_failing = False

    async def _take_copy(self) -> None:
        found = await asyncio.to_thread(self._copy.read) if self._copy else None
        if found is None:
            return
        entries, age = found
        self._entries = {entry.key_id: entry for entry in entries}
        self._refreshed_at = time.monotonic() - age.total_seconds()
        self._is_copied = True
        _log.warning(
            "the keys are those of an earlier run, until the database is back",
            keys=len(entries),
            age_seconds=round(age.total_seconds()),
        )

    def _forget_old_copy(self) -> None:
        is_old = (
            self._copy is not None
            and self.age_seconds is not None
            and self.age_seconds > self._copy.max_age.total_seconds()
        )
        if self._is_copied and is_old:
            self._entries, self._refreshed_at, self._is_copied = {}, None, False
            _log.error("the keys of an earlier run are too old; keys are refused")
