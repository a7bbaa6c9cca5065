import asyncio
import time

import pytest
from sqlalchemy import select, text

from configs.errors import ConfigError
from serving.gateway.database.engine import create_engine, is_bad_value, reading, writing
from serving.gateway.database.migrate import migrate
from serving.gateway.database.predictions import find_prediction, write_records
from serving.gateway.database.tables import BucketRow, PredictionRow
from serving.gateway.errors import UnavailableError

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://root:hunter2@host/db", "begins with 'mysql'"),
        ("sqlite:///file.db", "begins with 'sqlite'"),
        ("secret:hunter2", "no SQLAlchemy URL"),
    ],
)
def test_a_url_of_something_else_is_refused_without_quoting_it(url, words):
    with pytest.raises(ConfigError, match=words) as caught:
        create_engine(url)
    assert "hunter2" not in str(caught.value)


async def test_a_plain_postgresql_url_is_accepted(postgresql_url):
    engine = create_engine(postgresql_url.replace("+asyncpg", ""))
    async with reading(engine) as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await engine.dispose()


async def test_a_new_file_and_its_folder_are_for_their_owner_only(tmp_path):
    open_folder = tmp_path / "somebody's"
    open_folder.mkdir(mode=0o755)
    for file in (open_folder / "gateway.db", tmp_path / "new" / "gateway.db"):
        url = f"sqlite+aiosqlite:///{file}"
        await migrate(url)
        engine = create_engine(url)
        async with writing(engine) as session:
            await session.execute(text("SELECT 1"))
            for path in file.parent.glob("gateway.db*"):
                assert path.stat().st_mode & 0o777 == 0o600, path
        await engine.dispose()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="folder '.*/file/x' of the database cannot be made"):
        create_engine(f"sqlite+aiosqlite:///{tmp_path / 'file' / 'x' / 'gateway.db'}")


async def test_a_block_that_raises_stores_nothing(engine, make_record):
    record = make_record()

    async def write_and_fail():
        async with writing(engine) as session:
            await write_records(session, [record])
            raise KeyError

    with pytest.raises(KeyError):
        await write_and_fail()
    async with reading(engine) as session:
        assert await find_prediction(session, record.request_id) is None


async def test_moments_come_back_in_utc(engine, make_record):
    record = make_record()
    async with writing(engine) as session:
        await write_records(session, [record])
    async with reading(engine) as session:
        assert (await session.scalars(select(PredictionRow))).one().created_at == record.created_at


async def test_many_writers_that_read_first_all_succeed(engine):
    async with writing(engine) as session:
        session.add(BucketRow(bucket="common", tokens=0.0, updated_at=0.0))

    async def add_one():
        async with writing(engine) as session:
            query = select(BucketRow).with_for_update()
            row = (await session.scalars(query)).one()
            await asyncio.sleep(0.005)
            row.tokens += 1

    await asyncio.gather(*(add_one() for _ in range(20)))
    async with reading(engine) as session:
        assert (await session.scalars(select(BucketRow))).one().tokens == 20


async def test_readers_do_not_wait_for_a_writer(engine, make_record):
    async with writing(engine) as session:
        await write_records(session, [make_record()])
        async with asyncio.timeout(1), reading(engine) as other:
            assert (await other.scalars(select(PredictionRow))).all() == []


async def test_a_database_that_is_gone_is_named_quickly(postgresql_server, postgresql_url):
    engine = create_engine(postgresql_url)
    async with reading(engine) as session:
        await session.scalar(text("SELECT 1"))
    postgresql_server.stop("immediate")
    try:
        for _ in range(2):  # with an open connection, then without one
            started = time.monotonic()
            with pytest.raises(UnavailableError, match="does not answer"):
                async with reading(engine) as session:
                    await session.scalar(text("SELECT 1"))
            assert time.monotonic() - started < 2
    finally:
        postgresql_server.start()
    async with reading(engine) as session:
        assert await session.scalar(text("SELECT 1")) == 1
    await engine.dispose()


async def test_a_restarted_database_is_not_noticed(postgresql_server, postgresql_url):
    engine = create_engine(postgresql_url)
    for _ in range(2):
        async with reading(engine) as session:
            assert await session.scalar(text("SELECT 1")) == 1
        postgresql_server.stop("fast")
        postgresql_server.start()
    await engine.dispose()


async def test_a_database_that_hangs_is_given_up(postgresql_server, postgresql_url):
    engine = create_engine(postgresql_url, statement_seconds=1)
    async with reading(engine) as session:
        await session.scalar(text("SELECT 1"))
    postgresql_server.freeze()
    try:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            async with reading(engine) as session:
                await session.scalar(text("SELECT 1"))
        assert time.monotonic() - started < 8
    finally:
        postgresql_server.thaw()
    await engine.dispose()


@pytest.mark.parametrize(
    "changes",
    [{"image_width": 2**80}, {"created_at": "yesterday"}, {"probability": None}],
)
async def test_bad_values_are_told_from_outages(engine, make_record, changes):
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each driver has its own)
        async with writing(engine) as session:
            await write_records(session, [make_record(**changes)])
    assert not isinstance(caught.value, UnavailableError)
    assert is_bad_value(caught.value)


async def test_characters_that_postgresql_cannot_hold_are_bad_values(postgresql_url, make_record):
    await migrate(postgresql_url)
    engine = create_engine(postgresql_url)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        async with writing(engine) as session:
            await write_records(session, [make_record(label="a\0b")])
    assert is_bad_value(caught.value)
    await engine.dispose()
