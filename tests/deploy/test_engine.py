"""The gateway's image, built and run by a container engine that the test starts for itself.

The registry's base image is not asked for: a small Debian of the same name stands in for it.
"""

import contextlib
import os
import platform
import shutil
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import pytest

from configs.errors import EnvironmentSetupError
from tools.build_tools import pip_wheel, read_pip_config
from tools.private_apt import read_sources, source_for_suite

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = "deploy/docker/gateway.Dockerfile"
BASE_SUITE = "bookworm"
"""The release of Debian whose own Python is 3.11."""
BASE_PACKAGES = ("python-is-python3", "python3.11-venv", "python3-distutils", "ca-certificates")
BASE_IMAGE = "python:3.11.14-slim-trixie"
PIP_SETTINGS = {"index-url", "extra-index-url", "default-timeout", "timeout", "proxy"}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CERTIFICATES = "/run/certificates.pem"
START_SECONDS = 60
MEMORY_BYTES = 3 << 30
"""What the engine's files may take of the memory: there they are made and removed in no time."""


class EngineError(Exception):
    """What the engine said when it refused."""


class Engine:
    """A container engine of this test, and the client that speaks to it."""

    def __init__(self, client, folder):
        self._client = client
        self.folder = folder
        self._socket = folder / "engine.sock"

    def docker(self, *words, **options):
        done = subprocess.run(
            [self._client, "--host", f"unix://{self._socket}", *words],
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        if done.returncode != 0:
            raise EngineError(f"docker {words[0]}: {done.stderr[-3000:]}")
        return done.stdout.strip()

    def start(self):
        """Start it; returns its process, or None with a reason when it cannot run here."""
        log = self.folder / "engine.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    "dockerd",
                    *("--iptables=false", "--ip6tables=false", "--bridge=none"),
                    f"--data-root={self.folder / 'data'}",
                    f"--exec-root={self.folder / 'exec'}",
                    f"--pidfile={self.folder / 'engine.pid'}",
                    f"--host=unix://{self._socket}",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self.docker("info")
            except EngineError:
                time.sleep(0.2)
            else:
                return process, ""
        process.kill()
        process.wait()
        return None, log.read_text().strip().rpartition("\n")[2]


def client_that_builds():
    """A docker command that speaks BuildKit: an old one, or one with its plugin."""
    for folder in os.environ["PATH"].split(os.pathsep):
        program = shutil.which("docker", path=folder)
        if program is None:
            continue
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        is_old = int(version.stdout.split()[2].partition(".")[0]) < 23
        plugin = subprocess.run([program, "buildx", "version"], capture_output=True, check=False)
        if is_old or plugin.returncode == 0:
            return program
    return None


@pytest.fixture(scope="module")
def engine():
    if os.geteuid() != 0:
        pytest.skip("only root may start a container engine")
    missing = [name for name in ("dockerd", "debootstrap") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; `make packages` brings them")
    client = client_that_builds()
    if client is None:
        pytest.skip("no docker command here speaks BuildKit; `make packages` brings one")
    # Paths of sockets are short, those of pytest's folders are not.
    with (
        tempfile.TemporaryDirectory(prefix="loupe-engine-") as folder,
        in_memory(Path(folder)),
    ):
        engine = Engine(client, Path(folder))
        process, reason = engine.start()
        if process is None:
            pytest.skip(f"the container engine cannot run here: {reason}")
        try:
            yield engine
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def in_memory(folder):
    """Let a folder be in memory, where there is enough of it and that is allowed."""
    is_mounted = psutil.virtual_memory().available > 2 * MEMORY_BYTES and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={MEMORY_BYTES}", "loupe-engine", folder],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="module")
def base_image(engine):
    """Debian with Python 3.11, under the name of the registry's image."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    try:
        mirror = source_for_suite(read_sources(), codename, BASE_SUITE).uri
    except EnvironmentSetupError as error:
        pytest.skip(str(error))
    system = engine.folder / "base"
    done = subprocess.run(
        [
            *("debootstrap", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}"),
            *(BASE_SUITE, system, mirror),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"debootstrap made no base: {done.stdout.strip().rpartition(chr(10))[2]}")
    with subprocess.Popen(["tar", "-C", system, "-c", "."], stdout=subprocess.PIPE) as archive:
        engine.docker("import", "-", BASE_IMAGE, stdin=archive.stdout)
    shutil.rmtree(system)
    return BASE_IMAGE


@pytest.fixture(scope="module")
def secrets(engine):
    """This machine's way to the package index, as the builds take it: nothing of it stays."""
    lines = ["[global]", f"cert = {CERTIFICATES}"]
    for line in read_pip_config(pip_wheel(engine.folder)).splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in PIP_SETTINGS:
            lines.append(f"{key} = {value.strip(chr(39))}")
    settings = engine.folder / "pip.conf"
    settings.write_text("\n".join(lines) + "\n")
    certificates = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
    return [
        f"--secret=id=pip,src={settings}",
        f"--secret=id=certificates,src={certificates}",
        *(f"--build-arg={name}" for name in PROXIES if name in os.environ),
    ]


@pytest.fixture(scope="module")
def gateway_image(engine, base_image, secrets):
    tag = "loupe-gateway:test"
    engine.docker(
        *("build", "--network=host", *secrets, "--file", DOCKERFILE, "--tag", tag, "."), cwd=ROOT
    )
    return tag


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


def test_nothing_of_the_build_s_secrets_or_tools_is_in_the_image(engine, gateway_image):
    found = engine.docker(
        *("run", "--rm", "--network=none", "--entrypoint=sh", gateway_image, "-c"),
        f"ls /environment/bin; test -s {CERTIFICATES} && echo secret; cat /etc/pip.conf || true",
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
