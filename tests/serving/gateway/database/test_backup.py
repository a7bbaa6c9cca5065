import re
import shlex
import subprocess
from pathlib import Path

import pytest

from benchmarks.postgresql import find_programs
from serving.gateway.database.engine import create_engine, reading, writing
from serving.gateway.database.migrate import current_version, list_versions, migrate
from serving.gateway.database.predictions import find_prediction, write_records

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).resolve().parents[4] / "docs" / "postgresql.md"


def documented(program, **replaced):
    (line,) = re.findall(rf"^{program} .*$", PAGE.read_text(), re.MULTILINE)
    words = shlex.split(line)
    return [str(find_programs() / program), *(replaced.get(word, word) for word in words[1:])]


async def test_a_backup_comes_back_as_the_page_says(
    postgresql_server, postgresql_url, tmp_path, make_record
):
    record = make_record(needs_review=True, review_image=bytes(range(256)))
    await migrate(postgresql_url)
    engine = create_engine(postgresql_url)
    async with writing(engine) as session:
        await write_records(session, [record])
    await engine.dispose()

    where = ["-h", "127.0.0.1", "-p", str(postgresql_server.port), "-U", "loupe"]
    dump = documented("pg_dump", loupe=postgresql_url.rpartition("/")[2])
    subprocess.run([*dump[:1], *where, *dump[1:]], cwd=tmp_path, check=True)
    restored_url = postgresql_server.make_database("restored")
    restore = documented("pg_restore", **{"--dbname=loupe": "--dbname=restored"})
    subprocess.run([*restore[:1], *where, *restore[1:]], cwd=tmp_path, check=True)

    assert await current_version(restored_url) == list_versions()[-1]
    restored = create_engine(restored_url)
    async with reading(restored) as session:
        row = await find_prediction(session, record.request_id)
    assert row.created_at == record.created_at
    await restored.dispose()
