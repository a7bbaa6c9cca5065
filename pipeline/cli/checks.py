"""What a machine needs for a run: one small check for each thing, told what was measured."""

import os
import re
import shutil
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from configs.machine import ARCHITECTURE, GLIBC_VERSION, PYTHON_VERSION

DISK_NEEDED_BYTES = 10 * 10**9
DISK_MINIMUM_BYTES = 1 * 10**9
MEMORY_NEEDED_BYTES = 4 * 2**30
MEMORY_MINIMUM_BYTES = 2 * 2**30
SERVER_BINARY = "tensorflow_model_server"
SERVER_MODULE = "serving.model_server"


class Status(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was checked.
        status: a problem stops runs; a warning may.
        detail: what was found.
        fix: what to do about it; empty when nothing is wrong.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def check_python(version: tuple[int, ...]) -> Finding:
    """Check the running Python.

    Args:
        version: major, minor and further parts.

    Returns:
        A problem when it is not 3.11.
    """
    detail = ".".join(str(part) for part in version)
    if version[:2] == PYTHON_VERSION:
        return Finding("Python", Status.OK, detail)
    fix = "install Python 3.11, then: make clean; make setup PYTHON=/path/to/python3.11"
    return Finding("Python", Status.PROBLEM, f"{detail}, expected 3.11", fix)


def check_glibc(text: str) -> Finding:
    """Check the C library that the running Python uses.

    Args:
        text: as the library words it, such as 'glibc 2.41'.

    Returns:
        A problem when it is older than 2.39, or not glibc.
    """
    match = re.fullmatch(r"glibc (\d+)\.(\d+).*", text)
    if match and (int(match[1]), int(match[2])) >= GLIBC_VERSION:
        return Finding("glibc", Status.OK, text)
    fix = "make setup, which brings a newer one on Debian 12 and Ubuntu 22.04; else use Debian 13"
    needed = "{}.{}".format(*GLIBC_VERSION)
    return Finding("glibc", Status.PROBLEM, f"{text or 'not glibc'}, expected {needed}", fix)


def check_wheel_tags(platforms: Collection[str]) -> Finding:
    """Check that this Python accepts the wheels of TFX.

    Args:
        platforms: platform tags that it accepts, such as manylinux_2_39_x86_64.

    Returns:
        A problem when theirs is not among them.
    """
    needed = "manylinux_{}_{}_{}".format(*GLIBC_VERSION, ARCHITECTURE)
    if needed in platforms:
        return Finding("wheel tags", Status.OK, f"accepts {needed}")
    fix = f"use an {ARCHITECTURE} machine with Debian 13, Ubuntu 24.04 or a container of one"
    return Finding("wheel tags", Status.PROBLEM, f"does not accept {needed}", fix)


def check_packages(lock: str, version_of: Callable[[str], str | None]) -> Finding:
    """Compare what is installed with what is locked.

    Args:
        lock: content of a lock file; empty when there is none.
        version_of: gives the installed version of a package, None when it is missing.

    Returns:
        A problem when any package is missing or of another version.
    """
    pins = re.findall(r"^([\w.-]+)==(\S+)", lock, flags=re.MULTILINE)
    if not pins:
        fix = "run from a clone of the project"
        return Finding("packages", Status.WARNING, "no lock file to compare with", fix)
    differences = [
        f"{name} {version_of(name) or 'missing'} (locked {version})"
        for name, version in pins
        if version_of(name) != version
    ]
    if not differences:
        return Finding("packages", Status.OK, f"{len(pins)} as locked")
    shown = ", ".join(differences[:3]) + (", ..." if len(differences) > 3 else "")
    detail = f"{len(differences)} of {len(pins)} differ: {shown}"
    return Finding("packages", Status.PROBLEM, detail, "make clean setup")


def check_disk(workspace: Path) -> Finding:
    """Check the free space for a run's data and models.

    Args:
        workspace: folder that runs will write to; need not exist.

    Returns:
        A warning below 10 GB, a problem below 1 GB or when nothing can be written there.
    """
    folder = next(parent for parent in [workspace, *workspace.resolve().parents] if parent.is_dir())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free at {workspace}"
    fix = "free some space, or choose another disk: make run WORKSPACE=/path"
    if not os.access(folder, os.W_OK):
        return Finding("disk", Status.PROBLEM, f"'{folder}' cannot be written to", fix)
    return _by_amount("disk", (free, DISK_NEEDED_BYTES, DISK_MINIMUM_BYTES), detail, fix)


def check_memory(available_bytes: int) -> Finding:
    """Check the memory that a run may take.

    Args:
        available_bytes: what is not in use, within the limit of a container.

    Returns:
        A warning below 4 GiB, a problem below 2 GiB.
    """
    detail = f"{available_bytes / 2**30:.1f} GiB available"
    fix = "end other programs, or lower train.batch_size: make run SET=train.batch_size=32"
    amounts = (available_bytes, MEMORY_NEEDED_BYTES, MEMORY_MINIMUM_BYTES)
    return _by_amount("memory", amounts, detail, fix)


def check_gpu(devices: Sequence[Path], listing: str | None, has_libraries: bool) -> Finding:
    """Check that a GPU that is there can be used.

    Args:
        devices: device files of NVIDIA GPUs.
        listing: output of `nvidia-smi -L`; None when it does not run.
        has_libraries: whether TensorFlow's CUDA libraries are installed.

    Returns:
        A warning when there is one that TensorFlow cannot use; having none is fine.
    """
    if listing is None and not devices:
        return Finding("GPU", Status.OK, "none: training runs on the CPU")
    if not listing:
        fix = "install the NVIDIA driver, or give the container access to it: --gpus all"
        return Finding("GPU", Status.WARNING, "there is one, but nvidia-smi does not see it", fix)
    names = ", ".join(line.partition(" (UUID")[0] for line in listing.splitlines())
    if has_libraries:
        return Finding("GPU", Status.OK, names)
    fix = (
        ".venv/tools/bin/uv pip install --python .venv/bin/python 'tensorflow[and-cuda]==2.21.*'; "
        "until then training runs on the CPU"
    )
    return Finding("GPU", Status.WARNING, f"{names}, but no CUDA libraries", fix)


def check_port(name: str, port: int) -> Finding:
    """Check that a server could listen on a port of this machine.

    Args:
        name: what the port is for.
        port: its number.

    Returns:
        A warning when something listens there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it, connections that were closed a moment ago would look like a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            fix = f"end what listens there, or choose another: make serve {name.upper()}_PORT=N"
            detail = f"{port} is taken ({error.strerror})"
            return Finding(f"{name} port", Status.WARNING, detail, fix)
    return Finding(f"{name} port", Status.OK, f"{port} is free")


def check_model_server(binary: str | None, has_own: bool) -> Finding:
    """Check that something can serve a model.

    Args:
        binary: path of TensorFlow's model server; None when it is not on PATH.
        has_own: whether this project's model server is importable.

    Returns:
        A problem when there is neither.
    """
    if binary:
        return Finding("model server", Status.OK, binary)
    if has_own:
        detail = f"python -m {SERVER_MODULE} ({SERVER_BINARY} is not on PATH)"
        return Finding("model server", Status.OK, detail)
    return Finding("model server", Status.PROBLEM, "none", "make clean setup")


def check_docker(binary: str | None, server_id: str | None) -> Finding:
    """Check for Docker, which is needed for one setting only.

    Args:
        binary: path of docker; None when it is not on PATH.
        server_id: what its daemon answers; None when it does not.

    Returns:
        A warning when it is installed and does not answer.
    """
    if binary is None:
        return Finding("Docker", Status.OK, "none: only infra.platform=docker needs it")
    if server_id is None:
        fix = "start it if you want infra.platform=docker; nothing else needs it"
        return Finding("Docker", Status.WARNING, f"{binary} has no daemon that answers", fix)
    return Finding("Docker", Status.OK, binary)


def _by_amount(name: str, amounts: tuple[int, int, int], detail: str, fix: str) -> Finding:
    available, needed, minimum = amounts
    if available >= needed:
        return Finding(name, Status.OK, detail)
    status = Status.WARNING if available >= minimum else Status.PROBLEM
    unit, size = ("GB", 10**9) if name == "disk" else ("GiB", 2**30)
    return Finding(name, status, f"{detail}, expected {needed // size} {unit}", fix)
