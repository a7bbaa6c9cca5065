"""Deletes what has been kept for as long as the rules say."""

import asyncio
import contextlib
import dataclasses
import datetime
import time
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import and_, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from serving.gateway.database.engine import describe_cause, writing
from serving.gateway.database.locks import exclusive
from serving.gateway.database.statements import changed_rows
from serving.gateway.database.tables import BucketRow, FeedbackRow, PredictionRow, ReviewItemRow
from serving.gateway.errors import UnavailableError
from serving.gateway.records import ReviewStatus
from serving.gateway.rules import RetentionRules
from serving.gateway.rules_store import RulesHolder
from serving.gateway.spool import remove_rejected

ROUND_SECONDS: Final = 3600.0
"""How often it is looked for what is too old."""
BATCH_ROWS: Final = 500
"""Most rows of one transaction: writers wait only for so long."""
UNDO_TIME: Final = datetime.timedelta(days=1)
"""How long the picture of a discarded item stays, so that the decision can be taken back."""
BUCKET_TIME: Final = datetime.timedelta(days=1)
"""A token bucket that nobody touched for so long is full: it need not be kept."""
_DAY_SECONDS: Final = 86_400

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Removed:
    """What a round removed.

    Attributes:
        num_predictions: rows, with their feedback and review items.
        num_images: pictures of review items.
        num_buckets: token buckets.
    """

    num_predictions: int
    num_images: int
    num_buckets: int


class Retention:
    """Applies the rules of retention every hour; of several processes one does.

    Args:
        engine: of the database.
        rules: the rules in force.
        spool_folder: what the database refused is set aside there; None where nothing is.
    """

    def __init__(
        self, engine: AsyncEngine, rules: RulesHolder, spool_folder: Path | None = None
    ) -> None:
        self._engine = engine
        self._rules = rules
        self._spool_folder = spool_folder
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first round is at once."""
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        """End; a batch that is not committed is undone."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            rules = self._rules.current.retention
            try:
                if self._spool_folder is not None:
                    await asyncio.to_thread(delete_rejected, self._spool_folder, rules)
                await apply_retention(self._engine, rules)
            except UnavailableError as error:
                _log.warning("retention waits for the database", cause=describe_cause(error))
            except Exception as error:  # noqa: BLE001 (what is too old must go the next time)
                _log.error("retention has failed, and is tried again", exc_info=error)
            await asyncio.sleep(ROUND_SECONDS)


async def apply_retention(
    engine: AsyncEngine, rules: RetentionRules, *, now: datetime.datetime | None = None
) -> Removed | None:
    """Delete what is too old, in small transactions.

    Args:
        engine: of the database.
        rules: how long things are kept.
        now: the moment that ages are counted from; the present when None.

    Returns:
        What was removed; None when another process is at it.

    Raises:
        UnavailableError: the database cannot be reached; what was deleted by then stays deleted.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    async with exclusive(engine, "retention") as is_mine:
        if not is_mine:
            return None
        started = time.monotonic()
        removed = Removed(
            num_predictions=await _delete_predictions(engine, now, rules),
            num_images=await _delete_images(engine, now, rules),
            num_buckets=await _delete_buckets(engine, now),
        )
    seconds = round(time.monotonic() - started, 3)
    _log.info("retention is done", seconds=seconds, **dataclasses.asdict(removed))
    return removed


def delete_rejected(spool_folder: Path, rules: RetentionRules) -> int:
    """Delete what the database refused, pictures included, once it has lain for too long.

    Args:
        spool_folder: of the recorder.
        rules: how long things are kept; a day at least, so that somebody can look.

    Returns:
        How many files went. One that cannot be deleted raises OSError.
    """
    days = max(1, min(rules.prediction_days, rules.review_image_days))
    num_files = remove_rejected(spool_folder, time.time() - days * _DAY_SECONDS)
    if num_files:
        _log.warning("records that the database refused are deleted", files=num_files, days=days)
    return num_files


async def _delete_predictions(
    engine: AsyncEngine, now: datetime.datetime, rules: RetentionRules
) -> int:
    oldest = now - datetime.timedelta(days=rules.prediction_days)
    is_old = PredictionRow.created_at < oldest
    old_ids = select(PredictionRow.request_id).where(is_old).limit(BATCH_ROWS)
    num_rows = 0
    while True:
        async with writing(engine) as session:
            ids = (await session.scalars(old_ids)).all()
            for row in (FeedbackRow, ReviewItemRow, PredictionRow):
                await session.execute(delete(row).where(row.request_id.in_(ids)))
        num_rows += len(ids)
        if len(ids) < BATCH_ROWS:
            return num_rows


async def _delete_images(engine: AsyncEngine, now: datetime.datetime, rules: RetentionRules) -> int:
    item = ReviewItemRow
    is_old = item.created_at < now - datetime.timedelta(days=rules.review_image_days)
    is_discarded = and_(item.status == ReviewStatus.DISCARDED, item.decided_at < now - UNDO_TIME)
    num_images = await _change_images(engine, or_(is_old, is_discarded))
    async with writing(engine) as session:
        # Nobody can decide what nobody can see.
        expired = update(item).where(item.status == ReviewStatus.WAITING, is_old)
        await session.execute(expired.values(status=ReviewStatus.EXPIRED.value))
    return num_images


async def _change_images(engine: AsyncEngine, condition: Any) -> int:
    item = ReviewItemRow
    found = select(item.request_id).where(item.image.is_not(None), condition).limit(BATCH_ROWS)
    num_images = 0
    while True:
        async with writing(engine) as session:
            ids = (await session.scalars(found)).all()
            change = update(item).where(item.request_id.in_(ids)).values(image=None)
            await session.execute(change.execution_options(synchronize_session=False))
        num_images += len(ids)
        if len(ids) < BATCH_ROWS:
            return num_images


async def _delete_buckets(engine: AsyncEngine, now: datetime.datetime) -> int:
    oldest = (now - BUCKET_TIME).timestamp()
    async with writing(engine) as session:
        deleted = await session.execute(delete(BucketRow).where(BucketRow.updated_at < oldest))
    return changed_rows(deleted)
