"""Token buckets in the database, shared by all processes that use it."""

from collections.abc import Sequence
from typing import Any, Final, cast

from sqlalchemy import Float, Table, bindparam, func, literal_column, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql import ColumnElement

from serving.gateway.database.tables import BucketRow
from serving.gateway.throttle.buckets import Bucket, Taken, settle

_TABLE: Final = cast("Table", BucketRow.__table__)
_NEW: Final = -1.0  # no level a bucket can have
_JULIAN_1970: Final = 2440587.5
_DAY_SECONDS: Final = 86400.0


class DatabaseStore:
    """Buckets in the table `throttle_buckets`.

    Args:
        engine: the database; it is not closed with the store.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._is_postgresql = engine.dialect.name == "postgresql"

    async def take(self, buckets: Sequence[Bucket], tokens: int) -> Taken:
        """Take tokens out of every bucket, or out of none.

        Args:
            buckets: different buckets; one that is unknown is full.
            tokens: how many, at least 1.

        Returns:
            Whether they were taken, and what is left.
        """
        async with self._engine.begin() as connection:
            rows = (await connection.execute(self._lock(buckets))).all()
            found = {row.bucket: (row.tokens, row.now - row.updated_at) for row in rows}
            now = max(row.now for row in rows)
            levels = [
                float(bucket.burst) if level == _NEW else bucket.fill(level, elapsed)
                for bucket in buckets
                for level, elapsed in (found[bucket.name],)
            ]
            taken = settle(levels, tokens)
            await connection.execute(
                update(_TABLE)
                .where(_TABLE.c.bucket == bindparam("name"))
                .values(tokens=bindparam("level"), updated_at=bindparam("now")),
                [
                    {"name": bucket.name, "level": level, "now": now}
                    for bucket, level in zip(buckets, taken.tokens, strict=True)
                ],
            )
        return taken

    async def close(self) -> None:
        """Nothing to give back: the engine belongs to whoever made it."""

    def _lock(self, buckets: Sequence[Bucket]) -> Any:
        # Writing first locks the rows on both databases, and always in the same order, so that
        # nobody reads a level that somebody else is about to change.
        insert = postgresql.insert if self._is_postgresql else sqlite.insert
        names = sorted(bucket.name for bucket in buckets)
        statement = insert(_TABLE).values([
            {"bucket": name, "tokens": _NEW, "updated_at": 0.0} for name in names
        ])
        columns: list[ColumnElement[Any]] = [
            _TABLE.c.bucket,
            _TABLE.c.tokens,
            _TABLE.c.updated_at,
            self._now().label("now"),
        ]
        if self._is_postgresql:
            # A bucket lost in a crash is a full one. Without waiting for the disk, the common
            # bucket's lock is held a tenth of the time.
            columns.append(func.set_config("synchronous_commit", "off", True).label("commit"))
        return statement.on_conflict_do_update(
            index_elements=[_TABLE.c.bucket], set_={"bucket": statement.excluded.bucket}
        ).returning(*columns)

    def _now(self) -> ColumnElement[float]:
        # The database's clock: those of several machines never agree.
        if self._is_postgresql:
            return literal_column("extract(epoch from clock_timestamp())::float8", Float)
        return (func.julianday("now", type_=Float) - _JULIAN_1970) * _DAY_SECONDS
