import asyncio
import contextlib
import pickle
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import select

from serving.gateway import recorder as recorder_module
from serving.gateway import spool
from serving.gateway.database.engine import create_engine, reading
from serving.gateway.database.migrate import migrate
from serving.gateway.database.predictions import write_records
from serving.gateway.database.tables import PredictionRow, ReviewItemRow
from serving.gateway.recorder import MAX_BATCH_IMAGE_BYTES, MAX_BATCH_RECORDS, Recorder, _split

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def recording(engine, folder):
    recorder = Recorder(engine, folder)
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.stop()


async def stored_ids(engine):
    async with reading(engine) as session:
        query = select(PredictionRow.request_id).order_by(PredictionRow.created_at)
        return list(await session.scalars(query))


async def wait_until(is_true, seconds=30):
    deadline = time.monotonic() + seconds
    while not (await is_true() if asyncio.iscoroutinefunction(is_true) else is_true()):
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


async def test_a_record_is_in_the_database_soon(engine, tmp_path, make_record):
    record = make_record(
        needs_review=True, review_reasons=["small_margin"], review_image=b"\x89PNG"
    )
    async with recording(engine, tmp_path / "spool") as recorder:
        recorder.record(record)
        assert recorder.find_pending(record.request_id) is record
        await wait_until(lambda: recorder.num_waiting == 0, 3)
        assert recorder.find_pending(record.request_id) is None
        assert await stored_ids(engine) == [record.request_id]
    async with reading(engine) as session:
        item = await session.get(ReviewItemRow, record.request_id)
        image = await session.scalar(select(ReviewItemRow.image))
    assert (item.reasons, item.guess, item.status, image) == (
        ["small_margin"],
        "mug",
        "waiting",
        b"\x89PNG",
    )


async def test_every_field_is_stored(engine, tmp_path, make_record):
    record = make_record()
    async with recording(engine, tmp_path / "spool") as recorder:
        recorder.record(record)
    async with reading(engine) as session:
        row = (await session.scalars(select(PredictionRow))).one()
    for column in [column.name for column in PredictionRow.__table__.columns]:
        assert getattr(row, column) == getattr(record, column), column


async def test_stopping_writes_what_waits(engine, tmp_path, make_record):
    records = [make_record() for _ in range(50)]
    async with recording(engine, tmp_path / "spool") as recorder:
        for record in records:
            recorder.record(record)
    assert await stored_ids(engine) == [record.request_id for record in records]
    assert [entry.name for entry in (tmp_path / "spool").iterdir()] == ["lock"]


async def test_a_record_that_comes_twice_is_stored_once(engine, tmp_path, make_record):
    record = make_record(needs_review=True)
    async with recording(engine, tmp_path / "spool") as recorder:
        recorder.record(record)
        recorder.record(record)
        await wait_until(lambda: recorder.num_waiting == 0)
        recorder.record(record)
    assert await stored_ids(engine) == [record.request_id]


async def test_a_record_that_the_database_refuses_stands_in_nobodys_way(
    engine, tmp_path, make_record
):
    good = [make_record() for _ in range(7)]
    bad = make_record(image_width=2**63 - 1, created_at=None)
    async with recording(engine, tmp_path / "spool") as recorder:
        for record in [*good[:4], bad, *good[4:]]:
            recorder.record(record)
        await wait_until(lambda: recorder.num_waiting == 0)
        assert recorder.is_database_up
    assert sorted(await stored_ids(engine)) == sorted(record.request_id for record in good)
    assert [path.stem for path in (tmp_path / "spool" / "rejected").iterdir()] == [bad.request_id]


async def test_records_wait_for_the_end_of_a_failure_that_nobody_thought_of(
    engine, tmp_path, make_record, monkeypatch
):
    failures = []

    async def fail(_session, records):
        # As SQLAlchemy does when what answers at the database's port speaks something like it.
        failures.append(len(records))
        raise AttributeError("'NoneType' object has no attribute 'group'")

    monkeypatch.setattr(recorder_module, "RETRY_SECONDS", (0.05, 0.05))
    record = make_record()
    async with recording(engine, tmp_path / "spool") as recorder:
        with monkeypatch.context() as patched:
            patched.setattr(recorder_module, "write_records", fail)
            recorder.record(record)
            await wait_until(lambda: len(failures) > 2, 5)
            assert not recorder.is_database_up
        await wait_until(lambda: recorder.num_waiting == 0, 5)
        assert recorder.is_database_up
    assert await stored_ids(engine) == [record.request_id]


async def test_recording_takes_no_time(engine, tmp_path, make_record):
    record = make_record(review_image=bytes(100_000))
    async with recording(engine, tmp_path / "spool") as recorder:
        durations = []
        for _ in range(200):
            started = time.perf_counter()
            recorder.record(record)
            durations.append(time.perf_counter() - started)
    assert sorted(durations)[100] < 0.001


def test_batches_are_bounded_in_records_and_bytes(make_record):
    small = [make_record()] * (2 * MAX_BATCH_RECORDS + 1)
    assert [len(batch) for batch in _split(small)] == [MAX_BATCH_RECORDS, MAX_BATCH_RECORDS, 1]
    large = [make_record(review_image=bytes(MAX_BATCH_IMAGE_BYTES // 2 + 1))] * 3
    assert [len(batch) for batch in _split(large)] == [1, 1, 1]
    assert _split([]) == []


# PostgreSQL goes away


@pytest.fixture
async def postgresql_engine(postgresql_server, postgresql_url):
    await migrate(postgresql_url)
    engine = create_engine(postgresql_url)
    yield engine
    await engine.dispose()
    if not postgresql_server.is_running:
        postgresql_server.start()


async def test_records_of_an_outage_are_replayed_in_order(
    postgresql_server, postgresql_engine, tmp_path, make_record, monkeypatch
):
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1)  # each attempt ends a segment
    written = []

    async def write_and_note(session, batch):
        await write_records(session, batch)
        written.extend(record.request_id for record in batch)

    async def wait_for_segments(number):
        await wait_until(lambda: len(recorder._spool.ended_segments()) == number)

    monkeypatch.setattr("serving.gateway.recorder.write_records", write_and_note)
    records = [make_record(review_image=b"x" * 1000, needs_review=True) for _ in range(90)]
    async with recording(postgresql_engine, tmp_path / "spool") as recorder:
        for number, record in enumerate(records):
            if number == 30:
                await wait_until(lambda: recorder.num_waiting == 0)
                postgresql_server.stop("immediate")
            if number == 60:
                await wait_until(lambda: not recorder.is_database_up)
                assert recorder.num_waiting == 30
            if number in {60, 70, 80}:
                await wait_for_segments(number // 10 - 5)
            if number == 80:
                postgresql_server.start()
            recorder.record(record)
        await wait_until(lambda: recorder.is_database_up)
        await wait_until(lambda: recorder.num_waiting == 0)
    assert written == [record.request_id for record in records]
    assert await stored_ids(postgresql_engine) == written
    async with reading(postgresql_engine) as session:
        assert set(await session.scalars(select(ReviewItemRow.image))) == {b"x" * 1000}


async def test_stopping_during_an_outage_leaves_records_to_the_next_process(
    postgresql_server, postgresql_engine, tmp_path, make_record
):
    records = [make_record() for _ in range(5)]
    async with recording(postgresql_engine, tmp_path / "spool") as recorder:
        postgresql_server.stop("immediate")
        for record in records:
            recorder.record(record)
    assert recorder.num_waiting == 5
    postgresql_server.start()
    async with recording(postgresql_engine, tmp_path / "spool") as recorder:
        assert recorder.num_waiting == 5
        await wait_until(lambda: recorder.num_waiting == 0)
    assert await stored_ids(postgresql_engine) == [record.request_id for record in records]


async def test_stopping_ends_though_the_database_hangs(
    postgresql_server, postgresql_engine, postgresql_url, tmp_path, make_record
):
    patient_engine = create_engine(postgresql_url, statement_seconds=60)
    recorder = Recorder(patient_engine, tmp_path / "spool")
    await recorder.start()
    recorder.record(make_record())
    await wait_until(lambda: recorder.num_waiting == 0)
    postgresql_server.freeze()
    try:
        recorder.record(make_record())
        started = time.monotonic()
        await recorder.stop(timeout_seconds=1)
        assert time.monotonic() - started < 10
        assert recorder.num_waiting == 1
    finally:
        postgresql_server.thaw()
    await patient_engine.dispose()


async def test_without_disk_and_database_records_wait_in_memory(
    postgresql_server, postgresql_engine, tmp_path, make_record, monkeypatch
):
    records = [make_record() for _ in range(3)]
    async with recording(postgresql_engine, tmp_path / "spool") as recorder:

        def fail(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(recorder._spool, "append", fail)
        postgresql_server.stop("immediate")
        for record in records:
            recorder.record(record)
        await wait_until(lambda: not recorder.is_database_up)
        assert recorder.find_pending(records[0].request_id) is records[0]
        postgresql_server.start()
        await wait_until(lambda: recorder.num_waiting == 0)
    assert await stored_ids(postgresql_engine) == [record.request_id for record in records]


# The process is killed

WRITER = """
import asyncio, datetime, pickle, sys, uuid
from dataclasses import replace
from pathlib import Path
from serving.gateway.database.engine import create_engine
from serving.gateway.recorder import Recorder

async def main(url, folder):
    template = pickle.load(sys.stdin.buffer)
    recorder = Recorder(create_engine(url), Path(folder))
    await recorder.start()
    print("ready", flush=True)
    while True:
        record = replace(
            template, request_id=uuid.uuid4().hex, created_at=datetime.datetime.now(datetime.UTC)
        )
        recorder.record(record)
        print("recorded", record.request_id, flush=True)
        await asyncio.sleep(0.002)

asyncio.run(main(*sys.argv[1:]))
"""


class Writer:
    """A process that records until it is killed; keeps what it says it has recorded."""

    def __init__(self, url, folder, template):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.process.stdin.write(pickle.dumps(template))
        self.process.stdin.close()
        self.recorded = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith(b"recorded ") and line.endswith(b"\n"):
                self.recorded.append(line.split()[1].decode())

    async def wait_for_more(self, number):
        wanted = len(self.recorded) + number
        await wait_until(lambda: len(self.recorded) >= wanted)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.thread.join()


async def test_killed_processes_lose_nothing_and_store_nothing_twice(
    database_url, engine, tmp_path, make_record
):
    template = make_record(needs_review=True, review_image=b"x" * 20_000)
    recorded, chance = [], random.Random(4)
    for _ in range(3):
        writer = Writer(database_url, tmp_path / "spool", template)
        await writer.wait_for_more(100)
        await asyncio.sleep(chance.uniform(0, 0.3))
        writer.kill()
        recorded += writer.recorded
    await check_exactly_once(engine, tmp_path / "spool", recorded, num_kills=3)


async def test_processes_killed_around_an_outage_lose_nothing(
    postgresql_server, postgresql_url, postgresql_engine, tmp_path, make_record
):
    template = make_record(needs_review=True, review_image=b"x" * 20_000)
    recorded, folder = [], tmp_path / "spool"

    async def start():
        writer = Writer(postgresql_url, folder, template)
        await writer.wait_for_more(50)
        return writer

    first = await start()
    beside = await start()
    postgresql_server.stop("immediate")
    await first.wait_for_more(200)
    first.kill()  # with a full spool
    second = await start()  # takes it over while the database is down
    postgresql_server.start()
    await second.wait_for_more(20)
    await asyncio.sleep(0.7)
    second.kill()  # in the middle of the replay, or right after it
    third = await start()
    postgresql_server.stop("fast")
    await third.wait_for_more(100)
    postgresql_server.start()
    await third.wait_for_more(300)
    for writer in (third, beside):
        writer.kill()
    for writer in (first, second, third, beside):
        recorded += writer.recorded
    await check_exactly_once(postgresql_engine, folder, recorded, num_kills=4)


async def check_exactly_once(engine, folder, recorded, *, num_kills):
    async with recording(engine, folder) as recorder:
        await wait_until(lambda: recorder.num_waiting == 0)
    stored = await stored_ids(engine)
    assert set(recorded) <= set(stored)
    # A process may be killed between recording and saying so.
    assert len(recorded) <= len(stored) <= len(recorded) + num_kills
    async with reading(engine) as session:
        assert sorted(await session.scalars(select(ReviewItemRow.request_id))) == sorted(stored)
    assert [entry.name for entry in folder.iterdir()] == ["lock"]
