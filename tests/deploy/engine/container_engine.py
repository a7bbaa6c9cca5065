"""A container engine that tests start for themselves, with a network as they need it."""

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

from configs.errors import EnvironmentSetupError
from tools.private_apt import fetch_packages, read_sources, source_for_suite

START_SECONDS = 60
OLDEST_COMPOSE = (2, 24)
"""The first that knows COMPOSE_ENV_FILES; Debian 12 has 1.29."""
COMPOSE_SUITE = "trixie"
"""The release of Debian whose package is new enough; the program asks for nothing else of it."""
BUILDING = ("--iptables=false", "--ip6tables=false", "--ip-forward=false")
"""Nothing of the machine's network is touched: builds and containers use it as it is."""
BRIDGE_ADDRESS = "169.254.213.1/28"
ISOLATED = ("unshare", "--net", "sh", "-euc", 'ip link set lo up; exec "$@"', "sh")
"""A network of its own: bridges, names, firewall and published ports as on a user's machine."""


class EngineError(Exception):
    """What the engine said when it refused."""


class Engine:
    """A container engine, and the client that speaks to it."""

    def __init__(self, client, folder):
        self._client = client
        self.folder = folder
        self._socket = folder / "engine.sock"
        self._settings = {}
        self._process = None
        self._bridge = None

    @property
    def environment(self):
        """For programs that call `docker`."""
        folders = [str(Path(self._client).parent), os.environ["PATH"]]
        return {
            **os.environ,
            "PATH": os.pathsep.join(folders),
            "DOCKER_HOST": f"unix://{self._socket}",
            "DOCKER_BUILDKIT": "1",
            **self._settings,
        }

    def docker(self, *words, **options):
        done = subprocess.run(
            [self._client, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )
        if done.returncode != 0:
            raise EngineError(f"docker {words[0]}: {done.stderr[-3000:]}")
        return done.stdout.strip()

    def start(self, *, is_isolated=False):
        """Start it on the machine's network or on its own; raises EngineError if it cannot run."""
        options = () if is_isolated else (*BUILDING, f"--bridge={self._make_bridge()}")
        # What it remembers of the other network it would make again, `docker0` included.
        shutil.rmtree(self.folder / "data" / "network", ignore_errors=True)
        log = self.folder / "engine.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(ISOLATED if is_isolated else ()),
                    "dockerd",
                    *options,
                    f"--data-root={self.folder / 'data'}",
                    f"--exec-root={self.folder / 'exec'}",
                    f"--pidfile={self.folder / 'engine.pid'}",
                    f"--host=unix://{self._socket}",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.docker("info")
            except EngineError:
                time.sleep(0.2)
            else:
                return
        self._process.kill()
        self._process.wait()
        self._remove_bridge()
        raise EngineError(log.read_text().strip().rpartition("\n")[2])

    def stop(self):
        self._process.terminate()
        self._process.wait(START_SECONDS)
        self._remove_bridge()

    def _make_bridge(self):
        # Nobody uses it. Without one the engine takes `docker0`, and told `none` it even removes
        # `docker0`, which may belong to the engine that this machine's user works with.
        self._bridge = f"loupe{os.getpid()}"
        for words in (
            ("link", "add", self._bridge, "type", "bridge"),
            ("address", "add", BRIDGE_ADDRESS, "dev", self._bridge),
        ):
            done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                self._remove_bridge()
                raise EngineError(f"ip {' '.join(words)}: {done.stderr.strip()}")
        return self._bridge

    def _remove_bridge(self):
        if self._bridge:
            subprocess.run(["ip", "link", "delete", self._bridge], capture_output=True, check=False)
        self._bridge = None

    def run_inside(self, command, **options):
        """Run a command where the engine's published ports are."""
        network = f"--net=/proc/{self._process.pid}/ns/net"
        return subprocess.run(
            ["nsenter", network, "--", *command],
            capture_output=True,
            text=True,
            check=False,
            **{"env": self.environment, **options},
        )

    def provide_compose(self):
        """Let `docker compose` work; raises EnvironmentSetupError where it cannot be had."""
        if self._compose_version() >= OLDEST_COMPOSE:
            return
        codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        source = source_for_suite(read_sources(), codename, COMPOSE_SUITE)
        package = self.folder / "compose"
        fetch_packages(["docker-compose"], package, self.folder / "apt", source)
        plugins = self.folder / "client" / "cli-plugins"
        plugins.mkdir(parents=True)
        shutil.copy(package / "usr/libexec/docker/cli-plugins/docker-compose", plugins)
        self._settings = {"DOCKER_CONFIG": str(plugins.parent)}
        if self._compose_version() < OLDEST_COMPOSE:
            raise EnvironmentSetupError(
                f"the docker-compose of {COMPOSE_SUITE} does not run here; install a newer one."
            )

    def _compose_version(self):
        try:
            told = self.docker("compose", "version", "--short")
        except EngineError:
            return (0, 0)
        major, minor, *_ = told.removeprefix("v").split(".")
        return int(major), int(minor)


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
