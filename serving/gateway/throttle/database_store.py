"""Token buckets in the database, shared by all processes that use it."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, cast

from sqlalchemy import Float, Table, bindparam, func, text, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncEngine

from serving.gateway.database.engine import DRIVER_ERRORS
from serving.gateway.database.tables import BucketRow
from serving.gateway.throttle.buckets import Bucket, Taken, settle

_TABLE: Final = cast("Table", BucketRow.__table__)
_NEW: Final = -1.0  # no level a bucket can have
_JULIAN_1970: Final = 2440587.5
_DAY_SECONDS: Final = 86400.0
# The database's clock counts: those of several machines never agree. Rows are locked in one order,
# so that nobody waits for somebody who waits for them. A new bucket's level is "infinity". What a
# crash of the database loses are a few tokens, so no commit waits for the disk.
_TAKE: Final = text(
    """
    WITH wanted AS (
        SELECT * FROM unnest(
            CAST(:names AS text[]), CAST(:rates AS float8[]), CAST(:bursts AS float8[])
        ) AS wanted (bucket, rate, burst)
    ), locked AS (
        SELECT row.bucket, wanted.rate, wanted.burst, row.tokens, row.updated_at
        FROM throttle_buckets AS row JOIN wanted ON row.bucket = wanted.bucket
        ORDER BY row.bucket FOR UPDATE OF row
    ), moment AS (
        SELECT max(extract(epoch FROM clock_timestamp()))::float8 AS now FROM locked
    ), filled AS (
        SELECT bucket, least(burst, tokens + greatest(0, now - updated_at) * rate) AS tokens, now
        FROM locked, moment
    ), decision AS (
        SELECT bool_and(tokens >= :asked) AS is_taken FROM filled
        HAVING count(*) = cardinality(CAST(:names AS text[]))
    )
    UPDATE throttle_buckets AS row
    SET tokens = filled.tokens - CASE WHEN is_taken THEN :asked ELSE 0 END, updated_at = now
    FROM filled, decision
    WHERE row.bucket = filled.bucket
    RETURNING row.bucket, row.tokens, is_taken, set_config('synchronous_commit', 'off', true)
    """
)
_FILL: Final = text(
    """
    INSERT INTO throttle_buckets (bucket, tokens, updated_at)
    SELECT name, 'infinity', 0 FROM unnest(CAST(:names AS text[])) AS name
    ON CONFLICT (bucket) DO NOTHING
    """
)


class DatabaseStore:
    """Buckets in the table `throttle_buckets`.

    Args:
        engine: the database; it is not closed with the store.
    """

    outages: ClassVar[tuple[type[Exception], ...]] = DRIVER_ERRORS

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
        if self._is_postgresql:
            return await self._take_at_once(buckets, tokens)
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

    async def _take_at_once(self, buckets: Sequence[Bucket], tokens: int) -> Taken:
        # Everybody waits for the common bucket's row: it is held for one statement, not for the
        # way to the database and back.
        names = [bucket.name for bucket in buckets]
        parameters = {
            "names": names,
            "rates": [bucket.per_second for bucket in buckets],
            "bursts": [float(bucket.burst) for bucket in buckets],
            "asked": float(tokens),
        }
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            rows = (await connection.execute(_TAKE, parameters)).all()
            if len(rows) < len(buckets):  # none was touched
                await connection.execute(_FILL, {"names": sorted(names)})
                rows = (await connection.execute(_TAKE, parameters)).all()
        found = {row.bucket: row for row in rows}
        return Taken(
            all(row.is_taken for row in rows),
            tuple(float(found[bucket.name].tokens) for bucket in buckets),
        )

    def _lock(self, buckets: Sequence[Bucket]) -> Any:
        # Writing first locks the rows, so that nobody reads a level that is about to change.
        statement = sqlite.insert(_TABLE).values([
            {"bucket": bucket.name, "tokens": _NEW, "updated_at": 0.0} for bucket in buckets
        ])
        now = (func.julianday("now", type_=Float) - _JULIAN_1970) * _DAY_SECONDS
        return statement.on_conflict_do_update(
            index_elements=[_TABLE.c.bucket], set_={"bucket": statement.excluded.bucket}
        ).returning(_TABLE.c.bucket, _TABLE.c.tokens, _TABLE.c.updated_at, now.label("now"))
