"""Tells a finished environment from one that is half made, moved or out of date."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

STAMP_FILENAME = "loupe-setup.json"


@dataclass(frozen=True)
class Stamp:
    """What an environment was made from; written last, so that its presence means finished.

    Attributes:
        folder: absolute path of the environment; its scripts and interpreter contain it.
        environment: name of the lock file.
        has_private_libc: whether the interpreter runs with a C library of its own.
        recipe: hash of what makes the environment itself.
        packages: hash of what is installed into it.
        base_library: standard library of the Python that it was made from.
    """

    folder: str
    environment: str
    has_private_libc: bool
    recipe: str
    packages: str
    base_library: str


def hash_files(paths: Iterable[Path]) -> str:
    """Hash the names and contents of files.

    Args:
        paths: existing files, in a fixed order.

    Returns:
        SHA-256 in hexadecimal.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def read_stamp(folder: Path) -> Stamp | None:
    """Read the stamp of an environment that still works.

    Args:
        folder: the environment.

    Returns:
        The stamp; None when there is none, it cannot be read, the interpreter is gone or the
        Python that it came from is.
    """
    try:
        stamp = Stamp(**json.loads((folder / STAMP_FILENAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    works = os.access(folder / "bin/python", os.X_OK) and Path(stamp.base_library).is_dir()
    return stamp if works else None


def write_stamp(folder: Path, stamp: Stamp) -> None:
    """Mark an environment as finished.

    Args:
        folder: the environment.
        stamp: what it was made from.
    """
    partial = folder / f"{STAMP_FILENAME}.partial"
    partial.write_text(json.dumps(dataclasses.asdict(stamp), indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / STAMP_FILENAME)


def remove_stamp(folder: Path) -> None:
    """Mark an environment as unfinished, before anything in it changes.

    Args:
        folder: the environment; need not exist.
    """
    (folder / STAMP_FILENAME).unlink(missing_ok=True)


def is_current(stamp: Stamp | None, wanted: Stamp) -> bool:
    """Decide whether nothing is left to do.

    Args:
        stamp: of the environment there is.
        wanted: of the environment there should be.

    Returns:
        True when they agree; which Python 3.11 it was made from does not matter.
    """
    return stamp is not None and stamp == _with_base_of(wanted, stamp)


def can_update(stamp: Stamp | None, wanted: Stamp) -> bool:
    """Decide whether installing packages is enough.

    Args:
        stamp: of the environment there is.
        wanted: of the environment there should be.

    Returns:
        True when only the packages differ; otherwise the environment has to be made again.
    """
    if stamp is None:
        return False
    packages = {"packages": wanted.packages, "environment": wanted.environment}
    return dataclasses.replace(stamp, **packages) == _with_base_of(wanted, stamp)


def _with_base_of(wanted: Stamp, stamp: Stamp) -> Stamp:
    return dataclasses.replace(wanted, base_library=stamp.base_library)
