import subprocess
import sys

import pytest

from serving.gateway.database.locks import exclusive

pytestmark = pytest.mark.anyio

HOLDER = """
import asyncio, sys
from serving.gateway.database.engine import create_engine
from serving.gateway.database.locks import exclusive

async def main():
    async with exclusive(create_engine(sys.argv[1]), "export") as is_mine:
        print(is_mine, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def is_free(engine, name):
    async with exclusive(engine, name) as is_mine:
        return is_mine


async def test_a_block_that_raises_lets_go_and_keeps_its_error(engine):
    with pytest.raises(OSError, match="disk"):
        async with exclusive(engine, "export"):
            raise OSError("disk")
    assert await is_free(engine, "export")


async def test_one_at_a_time_even_when_the_holder_is_killed(database_url, engine):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, database_url], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "True\n"
    assert not await is_free(engine, "export")
    assert await is_free(engine, "retention")
    holder.kill()
    holder.wait()
    assert await is_free(engine, "export")
    assert await is_free(engine, "export")
