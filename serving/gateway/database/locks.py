"""Locks between the processes of a gateway, held by the database that they share."""

import contextlib
import fcntl
import os
import zlib
from collections.abc import AsyncGenerator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from serving.gateway.database.engine import naming_outages, sqlite_file


@contextlib.asynccontextmanager
async def exclusive(engine: AsyncEngine, name: str) -> AsyncGenerator[bool]:
    """Try to be the only one who does something; waits for nobody.

    Args:
        engine: of the database; for SQLite a file beside it is locked.
        name: what is done.

    Yields:
        Whether nobody else does it now; the block should do nothing otherwise.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    file = sqlite_file(engine)
    if file is not None:
        descriptor = os.open(f"{file}.{name}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            yield try_lock(descriptor)
        finally:
            os.close(descriptor)
        return
    key = {"key": zlib.crc32(f"loupe {name}".encode())}
    # A connection of its own, outside any transaction: losing it lets go of the lock.
    with naming_outages():
        pooled = await engine.connect()
    try:
        with naming_outages():
            connection = await pooled.execution_options(isolation_level="AUTOCOMMIT")
            is_mine = await connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), key)
        yield bool(is_mine)
        if is_mine:
            with naming_outages():
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), key)
    except BaseException:
        await pooled.invalidate()  # closed for good, and the lock with it
        raise
    finally:
        await pooled.close()


def try_lock(descriptor: int) -> bool:
    """Lock an open file, for as long as it is open, unless somebody else has.

    Args:
        descriptor: of the file.

    Returns:
        Whether it is locked now.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
