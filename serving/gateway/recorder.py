"""Brings predictions into the database, off the request path, each exactly once.

A record is on disk before its answer leaves, and goes from there into the database in batches. The
id of the request is the key of its row: what is written twice, because a process died between the
database's word and the removal of the file, is stored once.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from serving.gateway.database.engine import DRIVER_ERRORS, describe_cause, writing
from serving.gateway.database.predictions import write_records
from serving.gateway.errors import UnavailableError
from serving.gateway.records import PredictionRecord
from serving.gateway.spool import Spool

BATCH_SECONDS: Final = 0.1
"""How long a record waits for others that go with it."""
MAX_BATCH_RECORDS: Final = 500
MAX_BATCH_IMAGE_BYTES: Final = 8 << 20
RETRY_SECONDS: Final = (0.5, 5.0)
"""First and longest pause between attempts while the database is down."""
ADOPT_SECONDS: Final = 10.0
"""How often the records of dead processes are looked for."""
MAX_UNSPOOLED_RECORDS: Final = 10_000
"""Kept in memory when the disk is full and the database is down; then the oldest are lost."""

_log = structlog.get_logger(__name__)


class Recorder:
    """Takes records from requests, and writes them by a task of its own.

    All methods belong to the event loop that `start` ran on.

    Args:
        engine: of the database.
        spool_folder: where records wait, common to all processes of the gateway.

    Attributes:
        num_lost: records that found neither disk nor database.
    """

    def __init__(self, engine: AsyncEngine, spool_folder: Path) -> None:
        self._engine = engine
        self._spool = Spool(spool_folder)
        self._pending: dict[str, PredictionRecord] = {}
        self._in_flight: dict[str, PredictionRecord] = {}
        self._unspooled: dict[str, PredictionRecord] = {}
        self._pause_seconds = 0.0
        self._adopted_at = time.monotonic()
        self._wake = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.num_lost = 0

    async def start(self) -> None:
        """Open the spool, take over what is left there, and begin to write.

        Raises:
            OSError: the spool folder cannot be written.
        """
        await asyncio.to_thread(self._spool.open)
        self._wake.set()
        self._task = asyncio.create_task(self._run(), name="recorder")
        self._task.add_done_callback(_report_end)

    async def stop(self, timeout_seconds: float = 5.0) -> None:
        """Write what waits; what cannot be written in time stays on disk.

        Args:
            timeout_seconds: how long to try.
        """
        self._stop.set()
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, timeout_seconds)
        await asyncio.to_thread(self._spool.close)
        if self._unspooled:
            self.num_lost += len(self._unspooled)
            _log.critical("records are lost: disk full, database down", num=len(self._unspooled))

    def record(self, record: PredictionRecord) -> None:
        """Keep a prediction; returns before the database knows of it.

        Args:
            record: what was answered. When this returns it survives the end of the process.

        Raises:
            TypeError: a field holds what JSON cannot.
        """
        try:
            self._spool.append(record)
        except OSError as error:
            self._keep_unspooled(record, error)
        else:
            self._pending[record.request_id] = record
        self._wake.set()

    def find_pending(self, request_id: str) -> PredictionRecord | None:
        """Find a prediction that was just answered and may not be in the database yet.

        Args:
            request_id: of the request.

        Returns:
            The record; None when it is written, waits on disk, or is unknown here.
        """
        for records in (self._pending, self._in_flight, self._unspooled):
            if request_id in records:
                return records[request_id]
        return None

    @property
    def num_waiting(self) -> int:
        """Count what the database does not have yet.

        Returns:
            Records on disk and in memory.
        """
        return self._spool.num_records + len(self._unspooled)

    @property
    def is_database_up(self) -> bool:
        """Tell whether the database has everything, but for the batch on its way.

        Returns:
            False from the first failed write until all that waited is written.
        """
        return not self._pause_seconds

    async def _run(self) -> None:
        while True:
            await self._wait_for_work()
            try:
                await self._drain()
            except (UnavailableError, OSError) as error:
                await self._note_down(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, records must not pile up)
                if not self._pause_seconds:
                    _log.error("records cannot be written, and are tried again", exc_info=error)
                await self._note_down(error)
            if self._stop.is_set():
                return

    async def _wait_for_work(self) -> None:
        if self._pause_seconds:
            await self._sleep(self._pause_seconds)
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), ADOPT_SECONDS)
        if self._wake.is_set():
            await self._sleep(BATCH_SECONDS)
        self._wake.clear()

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _drain(self) -> None:
        if time.monotonic() - self._adopted_at >= ADOPT_SECONDS:
            await asyncio.to_thread(self._spool.adopt)
            self._adopted_at = time.monotonic()
        # Oldest first: what is on disk, then what came meanwhile.
        for path in self._spool.ended_segments():
            await self._write_segment(path)
        await self._write_active()
        await self._write_unspooled()
        if self._pause_seconds:
            _log.warning("the database is back; all records are written")
            self._pause_seconds = 0.0
            self._wake.set()

    async def _write_active(self) -> None:
        path = self._spool.rotate()
        self._in_flight, self._pending = self._pending, {}
        try:
            if path is not None:
                await self._write_segment(path, [*self._in_flight.values()])
        finally:
            self._in_flight = {}

    async def _write_segment(self, path: Path, in_memory: Sequence[PredictionRecord] = ()) -> None:
        is_whole = len(in_memory) == self._spool.count(path)
        records = in_memory if is_whole else await asyncio.to_thread(self._spool.read, path)
        for batch in _split(records):
            await self._write_batch(batch)
        self._spool.remove(path)

    async def _write_unspooled(self) -> None:
        for batch in _split([*self._unspooled.values()]):
            await self._write_batch(batch)
            for record in batch:
                self._unspooled.pop(record.request_id, None)

    async def _write_batch(self, batch: Sequence[PredictionRecord]) -> None:
        try:
            async with writing(self._engine) as session:
                await write_records(session, batch)
        except DRIVER_ERRORS as error:  # bad values: outages are UnavailableError by now
            if len(batch) == 1:
                self._spool.set_aside(batch[0], describe_cause(error))
                return
            half = len(batch) // 2
            await self._write_batch(batch[:half])
            await self._write_batch(batch[half:])

    async def _note_down(self, error: Exception) -> None:
        if not self._pause_seconds:
            _log.error("the database is down; records wait on disk", cause=describe_cause(error))
        first, longest = RETRY_SECONDS
        self._pause_seconds = min(max(first, self._pause_seconds * 2), longest)
        try:
            await asyncio.to_thread(self._spool.sync)
        except OSError as disk_error:
            _log.error("the spool is not safe from a power cut", cause=str(disk_error))
        # What is on disk need not stay in memory, however long this takes.
        self._pending = {}
        if self._spool.is_full:
            self._spool.rotate()

    def _keep_unspooled(self, record: PredictionRecord, error: OSError) -> None:
        _log.error("the spool cannot be written; a record is kept in memory", cause=str(error))
        self._unspooled[record.request_id] = record
        if len(self._unspooled) > MAX_UNSPOOLED_RECORDS:
            lost = self._unspooled.pop(next(iter(self._unspooled)))
            self.num_lost += 1
            _log.critical("a record is lost: disk full, database down", request_id=lost.request_id)


def _split(records: Sequence[PredictionRecord]) -> list[list[PredictionRecord]]:
    batches: list[list[PredictionRecord]] = []
    image_bytes = 0
    for record in records:
        image_bytes += len(record.review_image or b"")
        is_over = image_bytes > MAX_BATCH_IMAGE_BYTES
        if not batches or is_over or len(batches[-1]) >= MAX_BATCH_RECORDS:
            batches.append([])
            image_bytes = len(record.review_image or b"")
        batches[-1].append(record)
    return batches


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception():
        _log.critical("the recorder has ended; records stay on disk", exc_info=task.exception())
