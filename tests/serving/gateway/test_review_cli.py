import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from configs.errors import ConfigError
from pipeline.cli.main import app
from serving.gateway.database.engine import create_engine, writing
from serving.gateway.database.migrate import migrate
from serving.gateway.database.predictions import write_records
from serving.gateway.database.review import decide


def loupe(*words):
    done = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "300"})
    assert done.exit_code == 0
    return done.output


@pytest.fixture
def one_decided(empty_database_url, monkeypatch, make_record):
    """A database with a decided item of the class [b]jar, and one that waits."""

    async def prepare():
        await migrate(empty_database_url)
        engine = create_engine(empty_database_url)
        record = make_record(needs_review=True, review_image=b"PNG")
        async with writing(engine) as session:
            await write_records(session, [record, make_record(needs_review=True)])
            await decide(session, record.request_id, label="[b]jar", actor="lk_admin")
        await engine.dispose()

    asyncio.run(prepare())
    monkeypatch.setenv("LOUPE_GATEWAY_DATABASE_URL", empty_database_url)


def test_export_says_what_to_do_next(one_decided, tmp_path):
    folder = tmp_path / "my data"
    shown = loupe("review", "export", str(folder))
    assert "[b]jar" in shown
    assert f"make run DATA='{folder}'" in shown
    assert Path(folder, "span-1", "[b]jar").is_dir()
    assert "Nothing was decided" in loupe("review", "export", str(folder))


def test_export_into_something_else_is_one_sentence(one_decided, tmp_path):
    (tmp_path / "mug").mkdir()
    with pytest.raises(Exception, match="Move everything in it into a folder span-1"):
        loupe("review", "export", str(tmp_path))


def test_status_counts(one_decided):
    rows = [line.replace("│", "").split() for line in loupe("review", "status").splitlines()]
    assert ["waiting", "1"] in rows
    assert ["decided", "1"] in rows
    assert ["expired", "0"] in rows


def test_a_state_folder_stands_for_its_sqlite_file(tmp_path):
    assert "0" in loupe("review", "status", "--state-folder", str(tmp_path / "state"))
    assert (tmp_path / "state" / "gateway.db").exists()


def test_a_database_that_is_down_is_one_sentence(monkeypatch):
    monkeypatch.setenv("LOUPE_GATEWAY_DATABASE_URL", "postgresql+asyncpg://nobody@127.0.0.1:9/x")
    with pytest.raises(ConfigError, match=r"could not be brought to version 'head'.*Start the"):
        loupe("review", "status")
