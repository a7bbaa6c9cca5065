import gc
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from starlette.testclient import TestClient

from configs.errors import ConfigError
from serving.gateway.app import create_app
from serving.gateway.auth.dependency import routes_without_rule
from serving.gateway.settings import GatewaySettings

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 3.0
START_BYTES = 200 << 20


@pytest.fixture(scope="module")
def photo(draw_photo, encode):
    return encode(draw_photo(48, 80), "JPEG")


@pytest.fixture
def app(tmp_path):
    return create_app(GatewaySettings(state_folder=tmp_path))


def test_every_route_has_a_rule(app):
    assert routes_without_rule(app) == []


@pytest.mark.anyio
async def test_the_garbage_collector_leaves_what_the_start_made_alone(app):
    async with app.router.lifespan_context(app):
        assert gc.get_freeze_count() > 50_000
    assert gc.get_freeze_count() == 0


def test_the_document_has_an_example_and_errors_for_every_call(app):
    document = app.openapi()
    assert set(document["paths"]) == {
        "/v1/predict",
        "/v1/predict:batch",
        "/v1/explain",
        "/v1/feedback",
        "/v1/predictions",
        "/v1/models",
        "/v1/health/live",
        "/v1/health/ready",
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            if not path.startswith("/v1/health"):
                assert set(operation["responses"]) >= {"200", "401", "403", "429", "503"}
                assert operation["security"]
    content = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert set(content) >= {"image/jpeg", "multipart/form-data", "application/json"}
    assert "HTTPValidationError" not in json.dumps(document)
    assert document["components"]["schemas"]["PredictionAnswer"]["examples"]


def test_examples_of_the_document_work(app, seller):
    for path in ("/v1/predict", "/v1/predict:batch"):
        body = app.openapi()["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        response = seller.post(path, json=body["example"])
        assert response.status_code == 200, response.text
        assert '"error":null' in response.text or path == "/v1/predict"


def test_nothing_imports_tensorflow_and_it_stays_small(make_gateway):
    program = (
        "import sys, serving.gateway.__main__, serving.gateway.app, serving.gateway.http_protocol;"
        "from serving.gateway.model import lite;"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    names = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "'serving'" in names
    assert "'fastapi'" in names
    for heavy in (
        "tensorflow",
        "keras",
        "tfx",
        "pandas",
        "matplotlib",
        "tensorflow_serving",
        "redis",
    ):
        assert f"'{heavy}'" not in names


def test_a_start_that_fails_says_why_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "serving.gateway"],
        env=os.environ | {"LOUPE_GATEWAY_STATE_FOLDER": str(tmp_path / "file" / "state")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    (line,) = [line for line in done.stdout.splitlines() if "Correct" in line or "Give" in line]
    assert "Traceback" not in done.stdout + done.stderr
    assert str(tmp_path / "file" / "state") in json.loads(line)["event"]


def test_it_starts_soon_and_small(make_gateway):
    gateway = make_gateway()
    gateway.start()  # makes the database, and the compiled modules
    gateway.stop()
    gateway.start()
    process = psutil.Process(gateway.process.pid)
    times, memory = process.cpu_times(), process.memory_info().rss
    assert gateway.stop() == 0
    assert memory < START_BYTES, f"{memory / 2**20:.0f} MiB"
    # Nothing is waited for but the processor, which other tests may share.
    seconds = times.user + times.system
    assert seconds < START_SECONDS, f"{seconds:.2f} s"


def test_answers_carry_security_headers(gateway):
    with gateway.client() as client:
        for path in ("/v1/health/live", "/nothing", "/v1/models"):
            headers = client.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in headers["Content-Security-Policy"]
            assert "server" not in headers
            assert len(headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("path", ["/v1/models/", "/v1/predict/", "/openapi.json/", "/metrics/"])
def test_a_slash_too_many_leads_nowhere(app, path):
    client = TestClient(app, base_url="http://shop.example", follow_redirects=False)
    for method in ("GET", "POST"):
        answer = client.request(method, path)
        assert answer.status_code == 404
        assert "location" not in answer.headers


def test_a_connection_may_rest_between_requests(gateway):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    for pause_seconds in (6, 0):  # uvicorn's own patience ends after 5
        connection.request("GET", "/v1/health/live")
        assert connection.getresponse().read()
        local_address = connection.sock.getsockname()
        time.sleep(pause_seconds)
    assert connection.sock.getsockname() == local_address
    connection.close()


def test_sigterm_lets_requests_in_flight_finish(make_gateway, serving_server, photo):
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=serving_server.grpc_address,
        MODEL__TIMEOUT_SECONDS="20",
        DEADLINE_SECONDS="20",
        UNSAFE_NO_AUTH="true",
    )
    gateway.start()
    with gateway.client() as client:
        assert client.post("/v1/predict", files={"image": photo}).status_code == 200
        serving_server.freeze()
        with ThreadPoolExecutor() as pool:
            asked = [
                pool.submit(
                    httpx.post, f"{gateway.url}/v1/predict", files={"image": photo}, timeout=30
                )
                for _ in range(3)
            ]
            time.sleep(1)
            gateway.process.send_signal(signal.SIGTERM)
            threading.Timer(1, serving_server.thaw).start()
            answers = [future.result() for future in asked]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert gateway.process.wait(timeout=30) == 0
    ids = {answer.json()["request_id"] for answer in answers}
    with sqlite3.connect(gateway.folder / "state" / "gateway.db") as database:
        stored = {row[0] for row in database.execute("select request_id from predictions")}
    assert ids <= stored


def test_requests_survive_a_killed_model_server_by_the_fallback(
    make_gateway, serving_server, lite_files, photo
):
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=serving_server.grpc_address,
        MODEL__TIMEOUT_SECONDS="10",
        FALLBACK__POLICY="model",
        FALLBACK__LITE_MODEL_FILE=str(lite_files[0]),
        FALLBACK__LABELS_FILE=str(lite_files[1]),
        UNSAFE_NO_AUTH="true",
    )
    gateway.start()
    routes = []
    with gateway.client() as client:

        def ask():
            response = client.post("/v1/predict", files={"image": photo})
            assert response.status_code == 200, response.text
            routes.append(response.json()["route"])

        ask()
        serving_server.kill()
        for _ in range(10):
            ask()
        breaker = client.get("/v1/health/ready").json()["breaker"]
        serving_server.start()
        serving_server.wait_until_serving(7)
        deadline = time.monotonic() + 20
        while routes[-1] != "stable":
            assert time.monotonic() < deadline, "the server was not found again"
            ask()
            time.sleep(0.2)
    assert routes[0] == "stable"
    assert routes[1:11] == ["fallback_model"] * 10
    assert breaker in {"open", "half_open"}
    assert gateway.stop() == 0


def test_predictions_go_on_without_the_database(
    make_gateway, model_server, postgresql_server, photo
):
    url = postgresql_server.make_database("outage")
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=model_server.grpc_address,
        MODEL__TIMEOUT_SECONDS="10",
        DATABASE_URL=url,
        UNSAFE_NO_AUTH="true",
    )
    gateway.start()
    with gateway.client() as client:

        def ask():
            response = client.post("/v1/predict", files={"image": photo})
            assert response.status_code == 200, response.text
            return response.json()["request_id"]

        ids = [ask()]
        _wait_until(lambda: client.get("/v1/health/ready").json()["records_waiting"] == 0)
        postgresql_server.stop("immediate")
        try:
            ids += [ask() for _ in range(5)]
            _wait_until(lambda: client.get("/v1/health/ready").json()["database"] == "down")
            assert client.get("/v1/health/ready").status_code == 200
            assert client.get("/v1/predictions").status_code == 503
        finally:
            postgresql_server.start()
        _wait_until(lambda: client.get("/v1/health/ready").json()["records_waiting"] == 0)
        items = client.get("/v1/predictions").json()["items"]
    assert [item["request_id"] for item in items] == ids[::-1]
    assert gateway.stop() == 0


def test_it_starts_while_the_database_is_down(make_gateway, model_server, postgresql_server, photo):
    url = postgresql_server.make_database("late")
    postgresql_server.stop("immediate")
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=model_server.grpc_address,
        MODEL__TIMEOUT_SECONDS="10",
        DATABASE_URL=url,
        UNSAFE_NO_AUTH="true",
    )
    try:
        gateway.start()
        with gateway.client() as client:
            answer = client.post("/v1/predict", files={"image": photo})
            assert answer.status_code == 200, answer.text
    finally:
        postgresql_server.start()
    with gateway.client() as client:
        _wait_until(lambda: client.get("/v1/predictions").status_code == 200)
        _wait_until(lambda: client.get("/v1/predictions").json()["items"])
        (item,) = client.get("/v1/predictions").json()["items"]
    assert item["request_id"] == answer.json()["request_id"]
    assert gateway.stop() == 0


def test_it_knows_its_keys_when_it_starts_while_the_database_is_down(
    make_gateway, postgresql_server
):
    gateway = make_gateway(DATABASE_URL=postgresql_server.make_database("late_keys"))
    file = gateway.folder / "state" / "last_known_keys"
    key = gateway.make_key("read")
    gateway.start()
    _wait_until(file.exists)
    gateway.stop()
    postgresql_server.stop("immediate")
    try:
        gateway.start()
        with gateway.client(key) as client:
            # The key is good; its history is in the database.
            answer = client.get("/v1/predictions")
            assert "the database does not answer" in answer.json()["error"]
        assert key.rpartition("_")[2] not in file.read_text() + gateway.log
        gateway.stop()
        gateway.settings["KEY_COPY_HOURS"] = "0"
        gateway.start()
        with gateway.client(key) as client:
            assert "API keys cannot be checked" in client.get("/v1/predictions").json()["error"]
        assert not file.exists()
    finally:
        postgresql_server.start()
    with gateway.client(key) as client:
        _wait_until(lambda: client.get("/v1/predictions").status_code == 200)
    assert gateway.stop() == 0
    assert not file.exists()


def _wait_until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def test_several_workers_count_and_remember_together(make_gateway, model_server, photo):
    gateway = make_gateway(
        MODEL__GRPC_ADDRESS=model_server.grpc_address,
        MODEL__TIMEOUT_SECONDS="10",
        WORKERS="2",
        THROTTLE__STORE="database",
        UNSAFE_NO_AUTH="true",
    )
    gateway.start()
    # A connection each: the kernel gives them to both workers.
    answers = [httpx.post(f"{gateway.url}/v1/predict", files={"image": photo}) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    with gateway.client() as client:
        _wait_until(lambda: len(client.get("/v1/predictions?limit=50").json()["items"]) == 20)
        lines = client.get("/metrics").text.splitlines()
    state = gateway.folder / "state"
    for path in (state, state / "gateway.db", state / "gateway.db-wal", state / "spool"):
        assert not path.stat().st_mode & 0o077, path  # pictures of customers
    counts = [line for line in lines if "prediction_seconds_count" in line and "stable" in line]
    assert [line.rpartition(" ")[2] for line in counts] == ["20.0"]
    assert gateway.stop() == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HOST": "0.0.0.0", "UNSAFE_NO_AUTH": "true"}, "expected a loopback address"),
        ({"HOST": "0.0.0.0", "SECURE_COOKIES": "false"}, "Leave it on, and put TLS in front"),
        ({"PORT": "eighty"}, "LOUPE_GATEWAY_PORT"),
        ({"TRUSTED_PROXIES": '["::/0"]'}, "Name the proxies' own"),
        ({"TRUSTED_PROXIES": '["proxy"]'}, "LOUPE_GATEWAY_TRUSTED_PROXIES"),
        ({"TRACE_ENDPOINT": "nowhere"}, "LOUPE_GATEWAY_TRACE_ENDPOINT"),
        ({"RULES_FILE": "/no/such/rules.yaml"}, "/no/such/rules.yaml"),
        ({"DATABASE_URL": "mysql://localhost/db"}, "mysql"),
        (
            {
                "STATE_FOLDER": "/proc/loupe",
                "KEY_SECRET": "k" * 32,
                "DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:1/loupe",
            },
            "spool '/proc/loupe/spool' cannot be written",
        ),
    ],
)
def test_settings_that_cannot_be_used_end_it_with_the_reason(make_gateway, settings, words):
    done = make_gateway(**settings).run()
    assert done.returncode in {1, 2, 3}
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_commands_show_the_usage(make_gateway):
    gateway = make_gateway()
    done = gateway.run("serve")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m serving.gateway")
    assert gateway.run("--help").returncode == 0


def test_a_bad_trace_endpoint_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="TRACE_ENDPOINT"):
        create_app(GatewaySettings(state_folder=tmp_path, trace_endpoint="nowhere"))
    assert os.listdir(tmp_path) == []
