"""Brings a database to a version of its tables, however many processes try at once."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from configs.errors import ConfigError
from serving.gateway.database.engine import create_engine, describe_cause, reading, writing
from serving.gateway.errors import UnavailableError

NEWEST: Final = "head"
EMPTY: Final = "base"

_FOLDER: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 0x10095_0001  # any number that no other program takes


async def migrate(url: str, version: str = NEWEST) -> None:
    """Apply, or take back, versions until the database has the wanted one; all or nothing.

    Args:
        url: as `create_engine`.
        version: id of a version, `head` for the newest, `base` for an empty database: everything
            that is stored is lost then.

    Raises:
        ConfigError: no such version, or the database is at one that this program does not know.
        UnavailableError: the database cannot be reached, or refuses the change.
    """
    engine = create_engine(url, statement_seconds=None)
    try:
        async with writing(engine) as session:
            if engine.dialect.name == "postgresql":
                await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await (await session.connection()).run_sync(_move, version)
    except UnavailableError as error:
        raise UnavailableError(
            f"the database stays as it was, it could not be brought to version '{version}': "
            f"{describe_cause(error)}.",
            fix="Start the database, or mend what it says, and try again.",
        ) from error
    finally:
        await engine.dispose()


async def current_version(url: str) -> str | None:
    """Ask a database for the version of its tables.

    Args:
        url: as `create_engine`.

    Returns:
        Id of the version; None for an empty database.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    engine = create_engine(url)
    try:
        async with reading(engine) as session:
            return await (await session.connection()).run_sync(_read_version)
    finally:
        await engine.dispose()


def list_versions() -> list[str]:
    """List the versions that this program knows.

    Returns:
        Their ids, oldest first.
    """
    script = ScriptDirectory(str(_FOLDER))
    return [each.revision for each in script.walk_revisions()][::-1]


def _move(connection: Connection, version: str) -> None:
    known, current = list_versions(), _read_version(connection)
    if current is not None and current not in known:
        raise ConfigError(
            f"the database is at version '{current}', this program knows {', '.join(known)}. "
            "Run the newer program, or let it take its versions back first."
        )
    if version not in {*known, NEWEST, EMPTY}:
        raise ConfigError(
            f"no version '{version}' of the database, expected one of {', '.join(known)}, "
            f"{NEWEST} or {EMPTY}."
        )
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    if _is_older(version, current, known):
        command.downgrade(config, version)
    else:
        command.upgrade(config, version)


def _is_older(version: str, current: str | None, known: list[str]) -> bool:
    if version in {NEWEST, EMPTY} or current is None:
        return version == EMPTY
    return known.index(version) < known.index(current)


def _read_version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
