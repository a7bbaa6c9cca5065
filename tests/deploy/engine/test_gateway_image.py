"""The gateway's image, built and run by a container engine that the test starts for itself."""

import time

import httpx
import pytest

from tests.deploy.engine.container_engine import START_SECONDS, EngineError


@pytest.fixture(scope="module")
def address(engine, gateway_image, unused_port):
    """A running gateway, as tight as the manifests make it."""
    container = engine.docker(
        *("run", "--detach", "--name=gateway", "--network=host", "--read-only", "--cap-drop=ALL"),
        *("--security-opt=no-new-privileges", f"--env=LOUPE_GATEWAY_PORT={unused_port}"),
        gateway_image,
    )
    url = f"http://127.0.0.1:{unused_port}"
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(f"{url}/v1/health/live")
        except httpx.TransportError:
            assert time.monotonic() < deadline, engine.docker("logs", container)
            time.sleep(0.1)
        else:
            return url


@pytest.fixture(scope="module")
def unused_port():
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_the_gateway_answers_from_its_image(engine, address):
    assert httpx.get(f"{address}/v1/health/live").json() == {"status": "live"}
    ready = httpx.get(f"{address}/v1/health/ready")
    assert ready.status_code == 503
    assert ready.json()["database"] == "up"  # SQLite in the one folder that may be written
    assert httpx.get(f"{address}/v1/models").status_code == 401


def test_the_gateway_is_not_root_and_cannot_change_its_code(engine, address):
    assert engine.docker("exec", "gateway", "id", "-u") == "10001"
    with pytest.raises(EngineError, match="Read-only file system"):
        engine.docker("exec", "gateway", "touch", "/app/configs/new.py")
    engine.docker("exec", "gateway", "touch", "/state/new")


def test_nothing_of_the_build_s_secrets_or_tools_is_in_the_image(
    engine, gateway_image, certificates
):
    found = engine.docker(
        *("run", "--rm", "--network=none", "--entrypoint=sh", gateway_image, "-c"),
        f"ls /environment/bin; test -s {certificates} && echo secret; cat /etc/pip.conf || true",
    )
    assert "uvicorn" in found
    assert "pip" not in found
    assert "secret" not in found
    assert "cert" not in found


def test_the_health_check_is_of_a_port_that_is_told(engine, gateway_image):
    inspected = engine.docker(
        "inspect", "--format", "{{json .Config.Healthcheck.Test}}", gateway_image
    )
    assert "127.0.0.1:8080/v1/health/live" in inspected


def test_sigterm_ends_the_gateway_with_success(engine, address):
    engine.docker("stop", "--time=30", "gateway")
    assert engine.docker("inspect", "--format", "{{.State.ExitCode}}", "gateway") == "0"
