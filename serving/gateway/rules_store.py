"""The business rules in force: read from their file, checked, given a version, swapped whole."""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from configs.errors import ConfigError
from serving.gateway.database.engine import describe_cause, writing
from serving.gateway.database.rules import store_rules
from serving.gateway.errors import UnavailableError
from serving.gateway.rules import BusinessRules, read_rules

POLL_SECONDS: Final = 2.0
"""How often the file is looked at."""

_DEFAULTS: Final = "defaults"

_log = structlog.get_logger(__name__)


class RulesHolder:
    """Holds the rules, and reads them again when their file changes.

    Args:
        engine: where versions are stored.
        file: the rules file; None for the defaults.

    Attributes:
        current: the rules in force; never half of a change.
        version: their version; 0 until the database has given one.
        problem: why the file as it is now is not in force; empty when it is.
    """

    def __init__(self, engine: AsyncEngine, file: Path | None) -> None:
        self._engine = engine
        self._file = file
        self._state: tuple[int, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self.current = BusinessRules()
        self.version = 0
        self.problem = ""

    async def start(self) -> None:
        """Read the file, and watch it from now on.

        Raises:
            ConfigError: the file cannot be read or holds wrong rules; there are none to keep yet.
        """
        if self._file is not None:
            self._state = _look_at(self._file)
            self.current = await asyncio.to_thread(read_rules, self._file)
        self.version = await self._store(self.current)
        self._task = asyncio.create_task(self._watch(), name="rules")

    async def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def refresh(self) -> None:
        """Look at the file now, and apply it when it has changed; wrong rules change nothing."""
        if self._file is not None:
            state = _look_at(self._file)
            if state != self._state:
                self._state = state
                await self._apply(self._file)
        if not self.version:
            self.version = await self._store(self.current)

    async def _apply(self, file: Path) -> None:
        try:
            rules = await asyncio.to_thread(read_rules, file)
        except ConfigError as error:
            self.problem = str(error)
            _log.error("the rules file is wrong; the rules stay", problem=self.problem)
            return
        self.problem = ""
        if rules == self.current:
            return
        self.current, self.version = rules, await self._store(rules)
        _log.info("new rules are in force", version=self.version, fingerprint=rules.fingerprint())

    async def _store(self, rules: BusinessRules) -> int:
        try:
            async with writing(self._engine) as session:
                source = str(self._file or _DEFAULTS)[-200:]
                return await store_rules(session, rules, source=source)
        except UnavailableError as error:
            _log.warning("the rules have no version yet", cause=describe_cause(error))
            return 0

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 (the next change of the file must be seen)
                _log.error("the rules file could not be looked at; the rules stay", exc_info=error)


def _look_at(file: Path) -> tuple[int, ...]:
    # The inode too: editors and ConfigMaps replace files, sometimes within one tick of the clock.
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
