import asyncio
import contextlib
import datetime
import os
import time

import pytest
from sqlalchemy import select

from serving.gateway import retention
from serving.gateway.database.engine import create_engine, reading, writing
from serving.gateway.database.feedback import save_feedback
from serving.gateway.database.locks import exclusive
from serving.gateway.database.migrate import migrate
from serving.gateway.database.predictions import write_records
from serving.gateway.database.review import decide, discard, find_item
from serving.gateway.database.tables import BucketRow, FeedbackRow, PredictionRow, ReviewItemRow
from serving.gateway.retention import Removed, Retention, apply_retention, delete_rejected
from serving.gateway.rules import RetentionRules
from serving.gateway.rules_store import RulesHolder

pytestmark = pytest.mark.anyio
NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
RULES = RetentionRules(prediction_days=90, review_image_days=30)


def days_ago(days):
    return NOW - datetime.timedelta(days=days)


async def write(engine, *records):
    async with writing(engine) as session:
        await write_records(session, records)


async def read_all(engine, column):
    async with reading(engine) as session:
        return sorted(await session.scalars(select(column)))


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(retention, "BATCH_ROWS", 3)


async def test_old_predictions_go_with_what_belongs_to_them(engine, make_record, small_batches):
    old = [
        make_record(created_at=days_ago(90.01), needs_review=True, review_image=b"PNG")
        for _ in range(7)
    ]
    young = make_record(created_at=days_ago(89.99), needs_review=True)
    await write(engine, *old, young)
    async with writing(engine) as session:
        for record in (old[0], young):
            await save_feedback(
                session, request_id=record.request_id, key_id=record.key_id, label="jar"
            )
    removed = await apply_retention(engine, RULES, now=NOW)
    assert removed.num_predictions == 7
    for row in (PredictionRow, FeedbackRow, ReviewItemRow):
        assert await read_all(engine, row.request_id) == [young.request_id]


async def test_old_pictures_go_and_what_waited_expires(engine, make_record, small_batches):
    records = [
        make_record(created_at=days_ago(days), needs_review=True, review_image=b"PNG")
        for days in (30.1, 30.1, 30.1, 30.1, 29.9)
    ]
    await write(engine, *records)
    async with writing(engine) as session:
        await decide(session, records[0].request_id, label="jar", actor="lk_admin")
    removed = await apply_retention(engine, RULES, now=NOW)
    assert removed.num_images == 4
    async with reading(engine) as session:
        items = [await find_item(session, record.request_id) for record in records]
        images = list(await session.scalars(select(ReviewItemRow.image)))
    assert [item.status for item in items] == ["decided", *["expired"] * 3, "waiting"]
    assert images.count(None) == 4


async def test_pictures_of_discarded_items_go_after_a_day(engine, make_record):
    record = make_record(created_at=days_ago(1), needs_review=True, review_image=b"PNG")
    await write(engine, record)
    async with writing(engine) as session:
        await discard(session, record.request_id, actor="lk_admin")
    present = datetime.datetime.now(datetime.UTC)
    soon, later = present + datetime.timedelta(hours=23), present + datetime.timedelta(hours=25)
    assert (await apply_retention(engine, RULES, now=soon)).num_images == 0
    assert (await apply_retention(engine, RULES, now=later)).num_images == 1


async def test_no_picture_stays_when_none_may(engine, make_record):
    record = make_record(created_at=days_ago(0.001), needs_review=True, review_image=b"PNG")
    await write(engine, record)
    rules = RetentionRules(review_image_days=0)
    assert (await apply_retention(engine, rules, now=NOW)).num_images == 1


async def test_deleted_pictures_are_gone_from_the_file(engine, make_record, database_url, tmp_path):
    if not database_url.startswith("sqlite"):
        pytest.skip("PostgreSQL's vacuum reuses the space in its own time")
    secret = b"a face that must go" * 400
    record = make_record(created_at=days_ago(40), needs_review=True, review_image=secret)
    await write(engine, record)
    await apply_retention(engine, RULES, now=NOW)
    await engine.dispose()  # the last connection empties the write-ahead log
    files = [*tmp_path.glob("gateway.db*")]
    assert files
    assert [path for path in files if secret[:100] in path.read_bytes()] == []


async def test_untouched_buckets_go(engine):
    async with writing(engine) as session:
        for name, days in (("old", 1.1), ("young", 0.9)):
            moment = days_ago(days).timestamp()
            session.add(BucketRow(bucket=name, tokens=1.0, updated_at=moment))
    assert await apply_retention(engine, RULES, now=NOW) == Removed(0, 0, 1)
    assert await read_all(engine, BucketRow.bucket) == ["young"]


@pytest.mark.parametrize(
    ("rules", "days"),
    [
        (RetentionRules(), 30),
        (RetentionRules(prediction_days=5), 5),
        (RetentionRules(review_image_days=0), 1),
    ],
)
async def test_what_the_database_refused_goes_too(tmp_path, rules, days):
    folder = tmp_path / "rejected"
    folder.mkdir()
    for name, age_days in (("old", days + 0.01), ("young", days - 0.01)):
        (folder / name).write_bytes(b"a picture")
        moment = time.time() - age_days * 86_400
        os.utime(folder / name, (moment, moment))
    assert delete_rejected(tmp_path, rules) == 1
    assert [path.name for path in folder.iterdir()] == ["young"]


async def test_the_task_deletes_what_the_database_refused(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "ROUND_SECONDS", 0.05)
    file = tmp_path / "spool" / "rejected" / "old.records"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"a picture")
    os.utime(file, (0, 0))
    task = Retention(engine, RulesHolder(engine, None), tmp_path / "spool")
    task.start()
    async with asyncio.timeout(10):
        while file.exists():
            await asyncio.sleep(0.02)
    await task.stop()


async def test_only_one_process_does_it(engine, make_record):
    await write(engine, make_record(created_at=days_ago(100)))
    async with exclusive(engine, "retention") as is_mine:
        assert is_mine
        assert await apply_retention(engine, RULES, now=NOW) is None
    assert (await apply_retention(engine, RULES, now=NOW)).num_predictions == 1


@contextlib.asynccontextmanager
async def old_record_must_go(url, make_record, monkeypatch):
    """A task to start in the block; what is old must be gone soon after it."""
    await migrate(url)
    engine = create_engine(url)
    present = datetime.datetime.now(datetime.UTC)
    await write(engine, make_record(created_at=present - datetime.timedelta(days=91)))
    monkeypatch.setattr(retention, "ROUND_SECONDS", 0.05)
    task = Retention(engine, RulesHolder(engine, None))
    yield task
    async with asyncio.timeout(10):
        while await read_all(engine, PredictionRow.request_id):
            await asyncio.sleep(0.05)
    await task.stop()
    await engine.dispose()


async def test_the_task_goes_on_after_an_outage(
    postgresql_server, postgresql_url, make_record, monkeypatch
):
    async with old_record_must_go(postgresql_url, make_record, monkeypatch) as task:
        postgresql_server.stop("immediate")
        task.start()
        await asyncio.sleep(0.3)
        postgresql_server.start()


async def test_the_task_goes_on_after_a_failure_that_is_no_outage(
    tmp_path, make_record, monkeypatch
):
    url = f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    async with old_record_must_go(url, make_record, monkeypatch) as task:
        lock = tmp_path / "gateway.db.retention.lock"
        lock.mkdir()  # it cannot be opened, as when there are too many open files
        task.start()
        await asyncio.sleep(0.2)
        lock.rmdir()
