import asyncio
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from configs.errors import ConfigError
from serving.gateway.database.engine import create_engine, reading, writing
from serving.gateway.database.migrate import _is_older, current_version, list_versions, migrate
from serving.gateway.database.predictions import find_prediction, write_records
from serving.gateway.database.tables import Base
from serving.gateway.errors import UnavailableError

pytestmark = pytest.mark.anyio


async def inspect_with(url, function):
    engine = create_engine(url)
    try:
        async with reading(engine) as session:
            return await (await session.connection()).run_sync(function)
    finally:
        await engine.dispose()


async def test_migrations_make_the_tables_that_the_code_declares(empty_database_url):
    await migrate(empty_database_url)

    def compare(connection):
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)

    assert await inspect_with(empty_database_url, compare) == []
    assert await current_version(empty_database_url) == list_versions()[-1]


async def test_every_version_goes_up_and_down_again(empty_database_url):
    for version in list_versions():
        await migrate(empty_database_url, version)
        assert await current_version(empty_database_url) == version
    for version in [*list_versions()[:-1][::-1], "base"]:
        await migrate(empty_database_url, version)
    assert await current_version(empty_database_url) is None
    left = await inspect_with(empty_database_url, lambda c: c.dialect.get_table_names(c))
    assert left == ["alembic_version"]
    await migrate(empty_database_url)


async def test_migrating_again_keeps_what_is_stored(database_url, engine, make_record):
    record = make_record()
    async with writing(engine) as session:
        await write_records(session, [record])
    await migrate(database_url)
    async with reading(engine) as session:
        assert (await find_prediction(session, record.request_id)).label == "mug"


async def test_a_failing_migration_leaves_nothing_behind(empty_database_url):
    engine = create_engine(empty_database_url)
    async with writing(engine) as session:  # stands in the way of the last table
        await session.execute(text("CREATE TABLE throttle_buckets (bucket TEXT)"))
    await engine.dispose()
    with pytest.raises(UnavailableError, match="throttle_buckets"):
        await migrate(empty_database_url)
    left = await inspect_with(empty_database_url, lambda c: c.dialect.get_table_names(c))
    assert left == ["throttle_buckets"]


async def test_processes_that_start_at_once_migrate_once(empty_database_url):
    program = (
        "import asyncio, sys; from serving.gateway.database.migrate import migrate;"
        "sys.stdin.readline(); asyncio.run(migrate(sys.argv[1]))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, empty_database_url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    await asyncio.sleep(2)  # all have imported what they need, and wait for the word
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    assert await current_version(empty_database_url) == list_versions()[-1]


async def test_a_database_of_a_newer_program_is_refused(database_url, engine):
    async with writing(engine) as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"at version '9999', this program knows 0001"):
        await migrate(database_url)


@pytest.mark.parametrize(
    ("version", "current", "is_older"),
    [
        ("1", "2", True),
        ("2", "1", False),
        ("2", "2", False),
        ("1", None, False),
        ("head", "1", False),
        ("base", "2", True),
        ("base", None, True),
    ],
)
def test_the_way_to_a_version_is_up_or_down(version, current, is_older):
    assert _is_older(version, current, ["1", "2"]) is is_older


async def test_an_unknown_version_is_refused(empty_database_url):
    with pytest.raises(ConfigError, match=r"no version '0815' .* expected one of 0001"):
        await migrate(empty_database_url, "0815")
