"""Version folders: integers that always grow, each there whole or not there."""

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from tfx.dsl.io import fileio

TEMPORARY_PREFIX = ".incomplete-"
"""Model servers look only at names that are integers."""
SAVED_MODEL_FILENAME = "saved_model.pb"
ABANDONED_SECONDS = 86_400
"""What another machine left incomplete is removed after this time: whether a process there is alive
cannot be seen from here."""


def writer_name() -> str:
    """Name this process, for files that several machines write into one folder.

    Returns:
        Machine and process. Alone, a process id says little: every container has the same few.
    """
    return f"{socket.gethostname()}-{os.getpid()}"


def next_version(base: str) -> int:
    """Choose a version number above all that exist.

    Args:
        base: folder of the version folders, local or a URL that TFX can read.

    Returns:
        Seconds since 1970, or one more than the newest version where that is not enough.
    """
    names = [str(name).rstrip("/") for name in fileio.listdir(base)] if fileio.exists(base) else []
    existing = [int(name) for name in names if name.isdecimal()]
    return max([int(time.time()), *(version + 1 for version in existing)])


def publish(source: Path, base: str, prepare: Callable[[Path, int], None]) -> tuple[int, str]:
    """Make a new version folder visible in one step.

    Args:
        source: folder of the SavedModel.
        base: folder of the version folders, local or a URL that TFX can read.
        prepare: called with a private copy of `source` and the version, to add files to it.

    Returns:
        The version and the path of its folder.

    Raises:
        OSError: the folder cannot be read or written.
    """
    if "://" in base:
        return _publish_remote(source, base, prepare)
    folder = Path(base)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if _is_abandoned(leftover):
            shutil.rmtree(leftover, ignore_errors=True)  # two may clean up at once
    while True:
        version = next_version(base)
        temporary = folder / f"{TEMPORARY_PREFIX}{version}-{writer_name()}"
        shutil.copytree(source, temporary)
        prepare(temporary, version)
        _flush(temporary)
        target = folder / str(version)
        try:
            temporary.rename(target)
        except OSError:
            if not target.exists():
                raise
            shutil.rmtree(temporary)  # another run took this version meanwhile
            continue
        flush_folder(folder)
        return version, str(target)


def _is_abandoned(leftover: Path) -> bool:
    # Runs that push into one folder at the same time must not remove what the others are copying.
    writer = leftover.name.removeprefix(TEMPORARY_PREFIX).partition("-")[2]
    host, _, process = writer.rpartition("-")
    if host == socket.gethostname() and process.isdecimal() and not psutil.pid_exists(int(process)):
        return True
    try:
        return time.time() - leftover.stat().st_mtime > ABANDONED_SECONDS
    except FileNotFoundError:
        return False


def _publish_remote(
    source: Path, base: str, prepare: Callable[[Path, int], None]
) -> tuple[int, str]:
    # Object stores cannot rename a folder: saved_model.pb, which servers look for, goes last.
    version = next_version(base)
    temporary = source.parent / f"{TEMPORARY_PREFIX}{version}"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    prepare(temporary, version)
    target = f"{base.rstrip('/')}/{version}"
    files = [path for path in temporary.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda file: file.name == SAVED_MODEL_FILENAME):
        destination = f"{target}/{path.relative_to(temporary).as_posix()}"
        fileio.makedirs(destination.rpartition("/")[0])
        fileio.copy(str(path), destination)
    shutil.rmtree(temporary)
    return version, target


def _flush(folder: Path) -> None:
    # The rename must not reach the disk before the contents do.
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            flush_folder(path)
    flush_folder(folder)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder reach the disk.

    Args:
        folder: the folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
