"""Databases for the tests of the prediction API: SQLite, and a PostgreSQL that is theirs."""

import datetime
import itertools
import tempfile
import uuid
from pathlib import Path

import pytest

from benchmarks.postgresql import PostgresqlServer
from configs.errors import EnvironmentSetupError
from serving.gateway.database.engine import create_engine
from serving.gateway.database.migrate import migrate
from serving.gateway.records import PredictionRecord, Route

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def anyio_backend():
    """Tests marked `anyio` are coroutines."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgresql_server():
    """A running server; not below pytest's own folders, which only their owner may enter."""
    with tempfile.TemporaryDirectory(prefix="loupe-postgresql-") as folder:
        Path(folder).chmod(0o755)
        try:
            server = PostgresqlServer(Path(folder) / "data", is_durable=False).create()
        except EnvironmentSetupError as error:
            pytest.skip(str(error))
        server.start()
        yield server
        if server.is_running:
            server.stop("immediate")


_numbers = itertools.count()


@pytest.fixture
def postgresql_url(postgresql_server):
    """URL of an empty PostgreSQL database."""
    return postgresql_server.make_database(f"test_{next(_numbers)}")


@pytest.fixture(params=DATABASES)
def empty_database_url(request, tmp_path):
    """URL of a database without tables; the test runs once per kind of database."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'gateway.db'}"
    return request.getfixturevalue("postgresql_url")


@pytest.fixture
async def database_url(empty_database_url):
    """URL of a database with the newest tables."""
    await migrate(empty_database_url)
    return empty_database_url


@pytest.fixture
async def engine(database_url):
    """Engine of that database."""
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
def make_record():
    """Function of changed fields to a prediction."""

    def make_record(**changes):
        values = {
            "request_id": uuid.uuid4().hex,
            "created_at": datetime.datetime.now(datetime.UTC),
            "key_id": "lk_seller",
            "model_name": "loupe",
            "model_version": 1795268425,
            "label": "mug",
            "model_label": "mug",
            "probability": 0.9,
            "margin": 0.8,
            "top_k": [{"label": "mug", "probability": 0.9}, {"label": "jar", "probability": 0.1}],
            "needs_review": False,
            "review_reasons": [],
            "route": Route.STABLE,
            "rules_version": 1,
            "image_format": "jpeg",
            "image_bytes": 20_000,
            "image_width": 224,
            "image_height": 160,
            "image_brightness": 0.5,
            "image_contrast": 0.2,
            "image_sharpness": 0.1,
            "image_saturation": 0.3,
            "image_dhash": "0f" * 8,
            "latency_ms": 12.5,
            "model_ms": 7.5,
        }
        return PredictionRecord(**(values | changes))

    return make_record
