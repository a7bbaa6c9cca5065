"""Every place where buckets can live, the shared ones seen by two processes' worth of stores."""

import contextlib
import shutil
import socket
import subprocess
import time

import pytest

from serving.gateway.database.engine import create_engine
from serving.gateway.database.migrate import migrate
from serving.gateway.throttle.buckets import MemoryStore
from serving.gateway.throttle.database_store import DatabaseStore
from serving.gateway.throttle.redis_store import RedisStore

START_SECONDS = 10


class RedisServer:
    """A Redis without a disk on a free port."""

    def __init__(self, program):
        self._program = program
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        self._process = subprocess.Popen(
            [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)

    def stop(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def redis_server():
    """A running redis-server that the test may stop and start."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is missing; on Debian: apt-get install redis-server")
    server = RedisServer(program).start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis"])
def store_url(request, tmp_path):
    """Where buckets live; the test runs once per kind of store."""
    if request.param == "redis":
        return request.getfixturevalue("redis_server").url
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql_url")
    return f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}" if request.param == "sqlite" else ""


@pytest.fixture
async def stores(store_url):
    """Two stores of the same buckets, as two processes have them."""
    if not store_url:
        memory = MemoryStore()
        yield memory, memory
        return
    engines = []
    if store_url.startswith("redis"):
        pair = [RedisStore(store_url, timeout_seconds=5.0) for _ in range(2)]
    else:
        await migrate(store_url)
        engines = [create_engine(store_url) for _ in range(2)]
        pair = [DatabaseStore(engine) for engine in engines]
    yield pair
    for store in pair:
        await store.close()
    for engine in engines:
        await engine.dispose()
