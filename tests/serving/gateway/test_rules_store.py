import asyncio
import contextlib
import os

import pytest
from sqlalchemy import func, select

from configs.errors import ConfigError
from serving.gateway import rules_store
from serving.gateway.database.audit import list_audit
from serving.gateway.database.engine import create_engine, reading
from serving.gateway.database.migrate import migrate
from serving.gateway.database.rules import read_rules_version
from serving.gateway.database.tables import RulesRow
from serving.gateway.rules import BusinessRules
from serving.gateway.rules_store import RulesHolder

pytestmark = pytest.mark.anyio


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("default_answer: first")
    return path


@contextlib.asynccontextmanager
async def holding(engine, file):
    holder = RulesHolder(engine, file)
    await holder.start()
    try:
        yield holder
    finally:
        await holder.stop()


async def count_versions(engine):
    async with reading(engine) as session:
        return await session.scalar(select(func.count()).select_from(RulesRow))


async def test_without_a_file_the_defaults_have_a_version(engine):
    async with holding(engine, None) as holder:
        assert (holder.current, holder.version) == (BusinessRules(), 1)


async def test_a_changed_file_is_in_force_soon(engine, file, monkeypatch):
    monkeypatch.setattr(rules_store, "POLL_SECONDS", 0.05)
    async with holding(engine, file) as holder:
        assert (holder.current.default_answer, holder.version) == ("first", 1)
        file.write_text("default_answer: second")
        async with asyncio.timeout(5):
            while holder.current.default_answer != "second":
                await asyncio.sleep(0.02)
        assert holder.version == 2


async def test_the_file_is_watched_after_a_failure_that_nobody_thought_of(
    engine, file, monkeypatch
):
    monkeypatch.setattr(rules_store, "POLL_SECONDS", 0.05)
    looked = asyncio.Event()

    def fail(_file):
        looked.set()
        raise RuntimeError("nobody thought of this")

    async with holding(engine, file) as holder:
        with monkeypatch.context() as patched:
            patched.setattr(rules_store, "_look_at", fail)
            await asyncio.wait_for(looked.wait(), 5)
        file.write_text("default_answer: second")
        async with asyncio.timeout(5):
            while holder.current.default_answer != "second":
                await asyncio.sleep(0.02)


async def test_a_replaced_file_of_the_same_size_and_time_is_seen(engine, file):
    async with holding(engine, file) as holder:
        times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
        other = file.with_name("other")
        other.write_text("default_answer: fifth")
        os.utime(other, ns=times)
        other.replace(file)
        await holder.refresh()
        assert holder.current.default_answer == "fifth"


async def test_a_wrong_file_changes_nothing_and_says_why(engine, file):
    async with holding(engine, file) as holder:
        for text in ("default_answer: [", "defualt_answer: x", None):
            file.unlink() if text is None else file.write_text(text)
            await holder.refresh()
            assert (holder.current.default_answer, holder.version) == ("first", 1)
            assert "rules.yaml'" in holder.problem
        file.write_text("default_answer: second")
        await holder.refresh()
        assert (holder.current.default_answer, holder.problem) == ("second", "")
    assert await count_versions(engine) == 2


async def test_a_wrong_file_at_the_start_is_refused(engine, file):
    file.write_text("deny: 7")
    with pytest.raises(ConfigError, match="deny"):
        await RulesHolder(engine, file).start()


async def test_the_same_rules_keep_their_version(engine, file):
    async with holding(engine, file) as holder:
        file.write_text("default_answer: second")
        await holder.refresh()
        file.write_text("# as it was\ndefault_answer: first")
        await holder.refresh()
        assert (holder.current.default_answer, holder.version) == ("first", 1)
    async with holding(engine, file) as holder:
        assert holder.version == 1
    assert await count_versions(engine) == 2


async def test_processes_that_store_at_once_agree(database_url, engine, file):
    engines = [create_engine(database_url) for _ in range(5)]
    holders = [RulesHolder(each, file) for each in engines]
    await asyncio.gather(*(holder.start() for holder in holders))
    assert [holder.version for holder in holders] == [1] * 5
    assert await count_versions(engine) == 1
    for holder, each in zip(holders, engines, strict=True):
        await holder.stop()
        await each.dispose()


async def test_old_rules_can_be_read_as_they_were(engine, file):
    async with holding(engine, file):
        pass
    async with reading(engine) as session:
        assert (await read_rules_version(session, 1)).default_answer == "first"
        assert await read_rules_version(session, 2) is None
        (entry,) = await list_audit(session)
    assert (entry.action, entry.subject, entry.details["version"]) == ("rules.new", str(file), 1)


async def test_rules_count_though_the_database_is_down(
    postgresql_server, postgresql_url, file, monkeypatch
):
    await migrate(postgresql_url)
    engine = create_engine(postgresql_url)
    monkeypatch.setattr(rules_store, "POLL_SECONDS", 0.05)
    postgresql_server.stop("immediate")
    async with holding(engine, file) as holder:
        assert (holder.current.default_answer, holder.version) == ("first", 0)
        file.write_text("default_answer: second")
        await holder.refresh()
        assert (holder.current.default_answer, holder.version) == ("second", 0)
        postgresql_server.start()
        async with asyncio.timeout(10):
            while not holder.version:
                await asyncio.sleep(0.02)
    await engine.dispose()
