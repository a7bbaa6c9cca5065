import asyncio

import pytest
from sqlalchemy import text

from serving.gateway.database.engine import create_engine
from serving.gateway.database.migrate import migrate
from serving.gateway.throttle.buckets import Bucket
from serving.gateway.throttle.database_store import DatabaseStore

pytestmark = pytest.mark.anyio

STILL = 1e-6


async def test_processes_that_meet_in_both_orders_neither_deadlock_nor_overdraw(postgresql_url):
    await migrate(postgresql_url)
    engines = [create_engine(postgresql_url) for _ in range(3)]
    stores = [DatabaseStore(engine) for engine in engines]
    buckets = [Bucket(name, STILL, 150) for name in ("a", "b", "total")]

    async def ask(number):
        asked = buckets if number % 2 else buckets[::-1]
        return (await stores[number % 3].take(asked, 1)).is_taken

    answers = await asyncio.gather(*(ask(number) for number in range(400)))
    assert sum(answers) == 150
    for engine in engines:
        await engine.dispose()


async def test_a_bucket_that_somebody_deleted_is_full_again(engine):
    store, bucket, other = DatabaseStore(engine), Bucket("a", STILL, 5), Bucket("b", STILL, 5)
    await store.take([bucket, other], 4)
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM throttle_buckets WHERE bucket = 'a'"))
    assert (await store.take([bucket, other], 1)).tokens == pytest.approx([4, 0], abs=1e-3)


async def test_the_pool_gets_its_connections_back_as_they_were(engine):
    store = DatabaseStore(engine)
    await asyncio.gather(*(store.take([Bucket("a", 100, 100)], 1) for _ in range(20)))
    async with engine.connect() as connection:
        await connection.execute(text("DELETE FROM throttle_buckets"))
        await connection.rollback()
        count = await connection.execute(text("SELECT count(*) FROM throttle_buckets"))
        assert count.scalar() == 1
    if engine.dialect.name == "postgresql":
        async with engine.connect() as connection:
            assert (await connection.execute(text("SHOW synchronous_commit"))).scalar() == "on"
