"""The prediction API as a process of `benchmarks.gateway`, with everything on."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.postgresql import PostgresqlServer, find_programs
from benchmarks.serving_model import MODEL_NAME
from benchmarks.serving_processes import Server, answers, free_port, process
from configs.errors import EnvironmentSetupError, StageError
from configs.load import REPOSITORY_ROOT

_START_SECONDS: Final = 30
_UNTHROTTLED: Final = "1000000"


@dataclass(frozen=True)
class Gateway:
    """A running prediction API.

    Attributes:
        port: of its HTTP.
        key: an API key with the scope `predict`.
        process_id: of its process.
        start_seconds: from the start of the process until it was ready.
    """

    port: int
    key: str
    process_id: int
    start_seconds: float


@contextlib.contextmanager
def database() -> Generator[str]:
    """Run PostgreSQL where it is installed.

    Yields:
        SQLAlchemy URL of an empty database; empty, for SQLite, where there is no PostgreSQL.
    """
    try:
        find_programs()
    except EnvironmentSetupError:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="loupe-benchmark-") as folder:
        Path(folder).chmod(0o755)  # its server runs as another user
        server = PostgresqlServer(Path(folder) / "data").create()
        server.start()
        try:
            yield server.make_database("loupe")
        finally:
            server.stop("immediate")


@contextlib.contextmanager
def gateway_server(folder: Path, server: Server, database_url: str) -> Generator[Gateway]:
    """Run `python -m serving.gateway` in front of a model server until the block ends.

    Args:
        folder: gets its state and its log.
        server: the model server.
        database_url: its database; empty for SQLite.

    Yields:
        The gateway, ready for requests: authentication, validation, throttling with limits that
        are never reached, quality measures and records on.

    Raises:
        StageError: it did not start.
    """
    port = free_port()
    environment = {
        **os.environ,
        "LOUPE_GATEWAY_PORT": str(port),
        "LOUPE_GATEWAY_STATE_FOLDER": str(folder / "gateway-state"),
        "LOUPE_GATEWAY_DATABASE_URL": database_url,
        "LOUPE_GATEWAY_MODEL__GRPC_ADDRESS": f"127.0.0.1:{server.grpc_port}",
        "LOUPE_GATEWAY_MODEL__REST_URL": f"http://127.0.0.1:{server.rest_port}",
        "LOUPE_GATEWAY_MODEL__NAME": MODEL_NAME,
        # The first call of a model without warm-up requests may take a second on a busy machine.
        "LOUPE_GATEWAY_MODEL__TIMEOUT_SECONDS": "10",
        "LOUPE_GATEWAY_DEADLINE_SECONDS": "20",
        "LOUPE_GATEWAY_THROTTLE__KEY_PER_SECOND": _UNTHROTTLED,
        "LOUPE_GATEWAY_THROTTLE__KEY_BURST": _UNTHROTTLED,
        "LOUPE_GATEWAY_THROTTLE__TOTAL_PER_SECOND": _UNTHROTTLED,
        "LOUPE_GATEWAY_THROTTLE__TOTAL_BURST": _UNTHROTTLED,
    }
    key = _make_key(environment)
    log = folder / "gateway.log"
    started = time.monotonic()
    with process(["-m", "serving.gateway"], log, environment) as running:
        while not answers(f"http://127.0.0.1:{port}/v1/health/ready"):
            if running.poll() is not None or time.monotonic() > started + _START_SECONDS:
                raise StageError(f"the gateway did not start. See '{log}'.")
            time.sleep(0.02)
        yield Gateway(port, key, running.pid, time.monotonic() - started)


def _make_key(environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "serving.gateway", "keys", "create", "benchmark", "-s", "predict"],
        cwd=REPOSITORY_ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StageError(f"no key could be made: {done.stderr.strip()}")
    return done.stdout.strip()
