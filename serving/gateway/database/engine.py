"""Connections to the database: SQLite in a file, or PostgreSQL, with time limits on everything."""

import contextlib
import os
import sqlite3
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from configs.errors import ConfigError
from serving.gateway.errors import UnavailableError

CONNECT_SECONDS: Final = 3.0
"""How long a connection may take to be made, or to become free in the pool."""
STATEMENT_SECONDS: Final = 5.0
"""How long a statement may take, its wait for locks included."""
DRIVER_ERRORS: Final = (
    SQLAlchemyError,
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    sqlite3.Error,
    ValueError,
    OverflowError,
)
"""What a database call raises; connecting raises the driver's own errors, past SQLAlchemy."""

_DRIVERS: Final = ("sqlite+aiosqlite", "postgresql+asyncpg")
_BAD_VALUE_STATES: Final = ("22", "23")  # data exception, integrity constraint violation
_IS_READING: Final = "loupe_is_reading"


def create_engine(url: str, *, statement_seconds: float | None = STATEMENT_SECONDS) -> AsyncEngine:
    """Make an engine; connects to nothing yet.

    Args:
        url: SQLAlchemy URL of SQLite (`sqlite+aiosqlite:///file`) or PostgreSQL
            (`postgresql+asyncpg://user:password@host/database`).
        statement_seconds: time limit of a statement; None for none.

    Returns:
        The engine. On SQLite each transaction takes the write lock at its beginning, unless it is
        one of `reading`: one that began by reading could otherwise fail at its first write.

    Raises:
        ConfigError: the URL is none, or of another database or driver, or the file's folder cannot
            be made.
    """
    parsed = _parse(url)
    if parsed.drivername == "postgresql+asyncpg":
        return create_async_engine(
            parsed,
            pool_size=5,
            max_overflow=5,
            pool_timeout=CONNECT_SECONDS,
            pool_pre_ping=True,
            connect_args={
                "timeout": CONNECT_SECONDS,
                "command_timeout": statement_seconds,
                "server_settings": {"application_name": "loupe-gateway"},
            },
        )
    if parsed.database:
        _make_private(Path(parsed.database))
    engine = create_async_engine(
        parsed, pool_timeout=CONNECT_SECONDS, connect_args={"timeout": STATEMENT_SECONDS}
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def sqlite_file(engine: AsyncEngine) -> Path | None:
    """Tell which file an engine keeps its data in.

    Args:
        engine: of either database.

    Returns:
        The file; None for PostgreSQL.
    """
    is_sqlite = engine.dialect.name == "sqlite"
    return Path(engine.url.database or "gateway.db") if is_sqlite else None


@contextlib.asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncGenerator[AsyncSession]:
    """Hold a transaction: all of the block is stored, or, when it raises, nothing.

    Args:
        engine: where. The block talks to the database only: its errors are taken for those of it.

    Yields:
        A session; committed at the end of the block.

    Raises:
        UnavailableError: the database cannot be reached, or did not answer in time.
    """
    with naming_outages():
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            yield session


@contextlib.asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncGenerator[AsyncSession]:
    """Hold a transaction that only reads, beside a writer.

    Args:
        engine: where.

    Yields:
        A session.

    Raises:
        UnavailableError: the database cannot be reached, or did not answer in time.
    """
    reader = engine.execution_options(**{_IS_READING: True})
    with naming_outages():
        async with AsyncSession(reader, expire_on_commit=False) as session, session.begin():
            yield session


def is_bad_value(error: BaseException) -> bool:
    """Tell whether a statement failed because of the values given to it.

    Args:
        error: one of `DRIVER_ERRORS`.

    Returns:
        Whether it would fail again on a healthy database.
    """
    if isinstance(error, ValueError | OverflowError):
        return True
    if not isinstance(error, StatementError):
        return False
    if not isinstance(error, DBAPIError):
        return True  # a value that could not even be bound
    cause = error.orig
    if isinstance(cause, sqlite3.IntegrityError | sqlite3.DataError | OverflowError):
        return True
    if getattr(cause, "sqlstate", None):
        return str(getattr(cause, "sqlstate", "")).startswith(_BAD_VALUE_STATES)
    return isinstance(getattr(cause, "__cause__", None), ValueError)


@contextlib.contextmanager
def naming_outages() -> Generator[None]:
    """Turn what drivers raise when the database is gone into one error; bad values stay theirs.

    Raises:
        UnavailableError: the database cannot be reached, or did not answer in time.
    """
    try:
        yield
    except DRIVER_ERRORS as error:
        if is_bad_value(error):
            raise
        raise UnavailableError(
            "the database does not answer; predictions go on, everything else waits for it.",
            # Callers see this: what the driver says, names of hosts included, is for logs only.
            fix="Try again in a moment.",
            headers={"Retry-After": "5"},
        ) from error


def describe_cause(error: BaseException) -> str:
    """Say for a log, or for an administrator, what a driver said.

    Args:
        error: one of `DRIVER_ERRORS`, or an `UnavailableError` raised from one.

    Returns:
        Its class and the first line of its words.
    """
    cause = error.__cause__ if isinstance(error, UnavailableError) else error
    first_line = (str(cause).splitlines() or [""])[0]
    return f"{type(cause).__name__}: {first_line}"


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # The URL may hold a password: it is not quoted.
        raise ConfigError(
            f"database_url is no SQLAlchemy URL, expected one of {' or '.join(_DRIVERS)}. "
            "Correct LOUPE_GATEWAY_DATABASE_URL."
        ) from error
    if parsed.drivername in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+asyncpg")
    if parsed.drivername not in _DRIVERS:
        raise ConfigError(
            f"database_url begins with '{parsed.drivername}', expected "
            f"{' or '.join(_DRIVERS)}. Correct LOUPE_GATEWAY_DATABASE_URL."
        )
    return parsed


def _make_private(file: Path) -> None:
    # It holds pictures: a new one is for its owner, and SQLite gives its journals the same mode.
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"folder '{file.parent}' of the database cannot be made: {error}. Make it, or correct "
            "LOUPE_GATEWAY_STATE_FOLDER or LOUPE_GATEWAY_DATABASE_URL."
        ) from error
    with contextlib.suppress(OSError):  # connecting says more about it
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver begins no transaction by itself: _begin_sqlite does, with the right lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={int(STATEMENT_SECONDS * 1000)}",
        "journal_mode=WAL",
        "synchronous=FULL",  # a commit is on the disk: the spool is emptied on its word
        "secure_delete=ON",  # retention means that deleted pictures are gone
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get(_IS_READING, False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
