"""An engine, a base and the gateway's image, for the tests that build and run images.

No registry is asked for anything: a small Debian stands in for the base, under its name.
"""

import contextlib
import os
import platform
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest

from configs.errors import EnvironmentSetupError
from tests.deploy.engine.container_engine import Engine, EngineError, client_that_builds
from tools.build_tools import pip_wheel, read_pip_config
from tools.private_apt import read_sources, source_for_suite

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ("dockerd", "debootstrap", "ip", "nsenter", "unshare")
BASE_SUITE = "bookworm"
"""The release of Debian whose own Python is 3.11."""
BASE_PACKAGES = ("python-is-python3", "python3.11-venv", "python3-distutils", "ca-certificates")
BASE_IMAGE = "python:3.11.14-slim-trixie"
PIP_SETTINGS = {"index-url", "extra-index-url", "default-timeout", "timeout", "proxy"}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
CERTIFICATES = "/run/certificates.pem"
MEMORY_BYTES = 4 << 30
"""What the engine's files may take of the memory: there they are made and removed in no time."""


@pytest.fixture(scope="session")
def engine():
    """A running engine on the machine's network."""
    if os.geteuid() != 0:
        pytest.skip("only root may start a container engine")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
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
        try:
            engine.start()
        except EngineError as error:
            pytest.skip(f"the container engine cannot run here: {error}")
        try:
            yield engine
        finally:
            engine.stop()


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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def certificates():
    """Where an image finds, while it is built, whom to trust."""
    return CERTIFICATES


@pytest.fixture(scope="session")
def build(engine, base_image):
    """Function of words to a build, which has this machine's network and proxies."""
    proxies = [f"--build-arg={name}" for name in PROXIES if name in os.environ]

    def build(*words, cwd=ROOT):
        engine.docker("build", "--network=host", *proxies, *words, ".", cwd=cwd)

    return build


@pytest.fixture(scope="session")
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
    trusted = os.environ.get("PIP_CERT") or ssl.get_default_verify_paths().cafile
    return [
        f"--secret=id=pip,src={settings}",
        f"--secret=id=certificates,src={trusted}",
    ]


@pytest.fixture(scope="session")
def gateway_image(build, secrets):
    """The prediction API's image."""
    tag = "loupe-gateway:test"
    build(*secrets, "--file=deploy/docker/gateway.Dockerfile", f"--tag={tag}")
    return tag
