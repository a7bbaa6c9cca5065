"""What starts with a gateway, and goes on beside it."""

import asyncio
import sqlite3

import pytest
from structlog.testing import capture_logs

from serving.gateway import services
from serving.gateway.database.migrate import current_version, migrate
from serving.gateway.settings import GatewaySettings

pytestmark = pytest.mark.anyio


async def test_a_database_that_comes_back_newer_is_reported_and_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(services, "_DATABASE_SECONDS", 0.05)
    settings = GatewaySettings(state_folder=tmp_path)
    await migrate(settings.sqlalchemy_url)
    version = await current_version(settings.sqlalchemy_url)

    def set_version(name):
        with sqlite3.connect(tmp_path / "gateway.db") as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (name,))

    set_version("9999")
    with capture_logs() as lines:
        task = asyncio.create_task(services._bring_up_to_date_later(settings))
        await asyncio.sleep(0.5)
        assert not task.done()
        set_version(version)
        await asyncio.wait_for(task, 10)
    (problem,) = [line for line in lines if line["log_level"] == "critical"]
    assert "the database is at version '9999'" in problem["problem"]
