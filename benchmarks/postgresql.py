"""A PostgreSQL of its own in a folder, from Debian's package; for benchmarks and tests."""

import dataclasses
import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Final, Self

from configs.errors import EnvironmentSetupError

START_SECONDS: Final = 60

_HOMES: Final = Path("/usr/lib/postgresql")
_USERS: Final = ("postgres", "nobody")


@dataclasses.dataclass
class PostgresqlServer:
    """A cluster in a folder that trusts everybody on loopback.

    Attributes:
        folder: its data; must not exist yet, below folders that everybody may enter.
        port: where it listens; 0 for any that is free.
        is_durable: whether commits wait for the disk; tests need not survive a power cut.
    """

    folder: Path
    port: int = 0
    is_durable: bool = True

    def __post_init__(self) -> None:
        self._programs = find_programs()
        self.port = self.port or _find_free_port()

    def create(self) -> Self:
        """Make the cluster.

        Returns:
            The server, not started yet.
        """
        self.folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self.folder, _find_user())
        self._run("initdb", "-D", str(self.folder), "-A", "trust", "-U", "loupe", "-E", "UTF8")
        return self

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c max_connections=60"
        if not self.is_durable:
            options += " -c fsync=off -c full_page_writes=off"
        log = self.folder / "server.log"
        arguments = ("-D", str(self.folder), "-w", "-t", str(START_SECONDS), "-l", str(log))
        self._run("pg_ctl", *arguments, "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it, and wait until it is gone.

        Args:
            mode: `fast` ends connections, `immediate` is a crash.
        """
        self._run("pg_ctl", "-D", str(self.folder), "-w", "-m", mode, "stop")

    def freeze(self) -> None:
        """Let it answer nothing any more, with its connections open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        """Tell whether it runs.

        Returns:
            Whether there is a process.
        """
        return (self.folder / "postmaster.pid").exists()

    def make_database(self, name: str) -> str:
        """Make an empty database.

        Args:
            name: of the database.

        Returns:
            Its SQLAlchemy URL.
        """
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "loupe", name)
        return f"postgresql+asyncpg://loupe@127.0.0.1:{self.port}/{name}"

    def _signal(self, number: int) -> None:
        leader = int((self.folder / "postmaster.pid").read_text().split()[0])
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(leader)], capture_output=True, text=True, check=True
        )
        for process in (leader, *map(int, found.stdout.split())):
            os.kill(process, number)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            command = ["/usr/sbin/runuser", "-u", _find_user(), "--", *command]
        # pg_ctl leaves a server behind that would keep a pipe open: its words go to a file.
        output = self.folder.with_name(f"{self.folder.name}-{program}.log")
        with output.open("wb") as log:
            done = subprocess.run(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"LC_ALL": "C.UTF-8", "PATH": os.defpath},  # none of our libraries
                check=False,
                timeout=START_SECONDS * 2,
            )
        if done.returncode:
            raise EnvironmentSetupError(
                f"{program} ended with {done.returncode}: "
                f"{output.read_text(errors='replace')[-2000:]}"
            )


def find_programs() -> Path:
    """Find PostgreSQL's programs, the newest where there are several.

    Returns:
        The folder of `initdb` and the others.

    Raises:
        EnvironmentSetupError: there are none.
    """
    homes = sorted(_HOMES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = homes[-1] if homes else shutil.which("initdb")
    if not found:
        raise EnvironmentSetupError(
            f"no initdb in {_HOMES}/*/bin or on PATH. Install it: apt-get install postgresql."
        )
    return Path(found).parent


def _find_user() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
