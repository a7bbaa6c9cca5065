"""Databases, models, model servers and gateways for the tests of the prediction API."""

import contextlib
import dataclasses
import datetime
import http.client
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import grpc
import httpx
import pytest

from benchmarks.postgresql import PostgresqlServer
from configs.errors import EnvironmentSetupError
from serving.gateway.database.engine import create_engine
from serving.gateway.database.migrate import migrate
from serving.gateway.model.protos import (
    STATUS_METHOD,
    GetModelStatusRequest,
    GetModelStatusResponse,
    VersionState,
)
from serving.gateway.records import PredictionRecord, Route
from tests.serving.gateway.saved_models import make_module, save_module

DATABASES = ("sqlite", "postgresql")


class Clock:
    """Stands still until a test moves it."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """A clock of seconds."""
    return Clock()


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


REPOSITORY_ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 90
PLAIN, EXPLAINING = 7, 8
"""Versions of the models that are made here."""


def _make_explain(module):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def explain(image_bytes):
        pixels = tf.cast(module._to_pixels(image_bytes), tf.float32)
        return {"heat_map": tf.reduce_mean(pixels, axis=-1) / 255.0}

    return explain


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory) -> dict[int, Path]:
    """Version to SavedModel: one as the Trainer exports it, one that can explain itself too."""
    root = tmp_path_factory.mktemp("versions")
    for version in (PLAIN, EXPLAINING):
        module = make_module(seed=version)
        more = {"explain": _make_explain(module)} if version == EXPLAINING else {}
        save_module(module, root / str(version), **more)
    return {version: root / str(version) for version in (PLAIN, EXPLAINING)}


@pytest.fixture(scope="session")
def lite_files(model_folders, tmp_path_factory) -> tuple[Path, Path]:
    """LiteRT file and labels of the plain version."""
    import tensorflow as tf

    folder = model_folders[PLAIN]
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=["serve_pixels"]
    )
    file = tmp_path_factory.mktemp("lite") / "model.tflite"
    file.write_bytes(converter.convert())
    return file, folder / "assets" / "labels.txt"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@dataclasses.dataclass
class ModelServerProcess:
    """A running `python -m serving.model_server` and the folder of its versions."""

    base_path: Path
    log: Path
    more_models: dict[str, Path] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()
    port: int = dataclasses.field(default_factory=free_port)
    rest_port: int = dataclasses.field(default_factory=free_port)
    process: subprocess.Popen | None = None

    @property
    def grpc_address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        entries = [
            f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
            for name, path in {"loupe": self.base_path, **self.more_models}.items()
        ]
        config = self.log.with_name("models.config")
        config.write_text(f"model_config_list {{ {' '.join(entries)} }}")
        command = [sys.executable, "-m", "serving.model_server", f"--model_config_file={config}"]
        command += [f"--port={self.port}", f"--rest_api_port={self.rest_port}"]
        command += ["--file_system_poll_wait_seconds=1", *self.flags]
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY_ROOT, stdout=file, stderr=subprocess.STDOUT
            )

    def versions(self):
        """Versions that answer; raises grpc.RpcError when there is no server."""
        request = GetModelStatusRequest()
        request.model_spec.name = "loupe"
        with grpc.insecure_channel(self.grpc_address) as channel:
            call = channel.unary_unary(
                STATUS_METHOD,
                request_serializer=GetModelStatusRequest.SerializeToString,
                response_deserializer=GetModelStatusResponse.FromString,
            )
            entries = call(request, timeout=5).model_version_status
        return {entry.version for entry in entries if entry.state == VersionState.AVAILABLE}

    def wait_until_serving(self, *versions):
        deadline = time.monotonic() + START_SECONDS
        serving = None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            with contextlib.suppress(grpc.RpcError):
                serving = self.versions()
                if serving == set(versions):
                    return
            time.sleep(0.1)
        pytest.fail(f"serving {serving}, expected {versions}: {self.log.read_text()}")

    def push(self, folder, version):
        """Add a version, whole or not at all."""
        beside = self.base_path / f".{version}.part"
        shutil.copytree(folder, beside)
        beside.rename(self.base_path / str(version))

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()


def _launch(folder, root, more_models=None, flags=()):
    (root / "loupe").mkdir(parents=True)
    server = ModelServerProcess(root / "loupe", root / "server.log", more_models or {}, flags)
    server.push(folder, PLAIN)
    server.start()
    return server


@pytest.fixture(scope="session")
def model_server(model_folders, tmp_path_factory):
    """A model server with the plain version, and `explaining`; tests leave it as it is."""
    root = tmp_path_factory.mktemp("steady")
    shutil.copytree(model_folders[EXPLAINING], root / "explaining" / str(EXPLAINING))
    server = _launch(model_folders[PLAIN], root / "server", {"explaining": root / "explaining"})
    server.wait_until_serving(PLAIN)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def narrow_server(model_folders, tmp_path_factory):
    """A model server that takes batches of four images at most."""
    root = tmp_path_factory.mktemp("narrow")
    (root / "batching.txt").write_text("max_batch_size { value: 4 }")
    flags = ("--enable_batching", f"--batching_parameters_file={root / 'batching.txt'}")
    server = _launch(model_folders[PLAIN], root, flags=flags)
    server.wait_until_serving(PLAIN)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def fragile_server(model_folders, tmp_path_factory):
    """A model server that tests may kill, freeze and give other versions."""
    server = _launch(model_folders[PLAIN], tmp_path_factory.mktemp("fragile"))
    yield server
    server.kill()


@pytest.fixture
def serving_server(fragile_server):
    """The fragile server, running and serving the plain version, whatever happened before."""
    if fragile_server.process.poll() is not None:
        fragile_server.start()
    fragile_server.thaw()
    for folder in fragile_server.base_path.iterdir():
        if folder.name != str(PLAIN):
            shutil.rmtree(folder)
    fragile_server.wait_until_serving(PLAIN)
    return fragile_server


@dataclasses.dataclass
class GatewayProcess:
    """A running `python -m serving.gateway`.

    Attributes:
        settings: environment variables without their prefix.
    """

    folder: Path
    settings: dict[str, str]
    port: int = dataclasses.field(default_factory=free_port)
    process: subprocess.Popen | None = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        return (self.folder / "gateway.log").read_text()

    def environment(self):
        told = {"PORT": str(self.port), "STATE_FOLDER": str(self.folder / "state"), **self.settings}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("LOUPE_")}
        return inherited | {f"LOUPE_GATEWAY_{name}": value for name, value in told.items()}

    def run(self, *arguments):
        """Run the command line with these arguments to its end."""
        return subprocess.run(
            [sys.executable, "-m", "serving.gateway", *arguments],
            cwd=REPOSITORY_ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def make_key(self, *scopes):
        flags = [flag for scope in scopes for flag in ("--scope", scope)]
        done = self.run("keys", "create", "tests", *flags)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self):
        """Start it; returns how many seconds it took until it answered."""
        started = time.monotonic()
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving.gateway"],
                cwd=REPOSITORY_ROOT,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        while time.monotonic() < started + 60:
            assert self.process.poll() is None, self.log
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.status("/v1/health/live") == 200:
                    return time.monotonic() - started
            time.sleep(0.02)
        raise AssertionError(f"it does not answer: {self.log}")

    def status(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    def client(self, key=None, **options):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **options)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def make_gateway(tmp_path_factory):
    """Function of settings to a gateway that is not started yet."""
    made = []

    def make_gateway(**settings) -> GatewayProcess:
        made.append(GatewayProcess(tmp_path_factory.mktemp("gateway"), settings))
        return made[-1]

    yield make_gateway
    for gateway in made:
        gateway.kill()


@pytest.fixture(scope="session")
def gateway(make_gateway, model_server):
    """A gateway in front of the steady model server, with SQLite and no limits of rates."""
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=model_server.grpc_address,
        MODEL__TIMEOUT_SECONDS="10",
        DEADLINE_SECONDS="20",
        THROTTLE__KEY_BURST="100000",
        THROTTLE__TOTAL_BURST="100000",
    )
    gateway.start()
    return gateway


@pytest.fixture(scope="session")
def seller_key(gateway):
    """A key with the scopes of ordinary callers, which the gateway knows."""
    key = gateway.make_key("predict", "feedback", "read")
    deadline = time.monotonic() + 15
    with gateway.client(key) as client:
        while client.get("/v1/predictions").status_code == 401:
            assert time.monotonic() < deadline, "the new key is not known"
            time.sleep(0.1)
    return key


@pytest.fixture
def seller(gateway, seller_key):
    """An HTTP client of an ordinary caller."""
    with gateway.client(seller_key) as client:
        yield client
