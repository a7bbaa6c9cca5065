"""Places of data and artifacts: folders of this machine, or folders of a bucket."""

import contextlib
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from configs.buckets import is_in_bucket
from data.buckets import BucketPath

Place = Path | BucketPath
TRANSFERS_AT_ONCE: Final = 16
"""Buckets answer slowly, and many requests at a time."""


def place_of(address: str) -> Place:
    """Make a path of an address.

    Args:
        address: path of a file or folder, or gs:// URL.

    Returns:
        The path.
    """
    return BucketPath(address.rstrip("/")) if is_in_bucket(address) else Path(address)


@contextlib.contextmanager
def local_copy(address: str) -> Generator[Path]:
    """Bring a folder to this machine while a block runs.

    Args:
        address: path of the folder, or gs:// URL.

    Yields:
        The folder itself when it is on this machine, else a copy.
    """
    place = place_of(address)
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="loupe-copy-") as scratch:
        folder = Path(scratch) / place.name
        folder.mkdir()
        download(place, folder)
        yield folder


@contextlib.contextmanager
def local_output(address: str) -> Generator[Path]:
    """Let a block write a folder on this machine.

    Args:
        address: path of the folder, or gs:// URL.

    Yields:
        The folder itself when it is on this machine; else an empty one, whose files go to the
        bucket when the block ends without an error.
    """
    place = place_of(address)
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="loupe-output-") as scratch:
        folder = Path(scratch)
        yield folder
        upload(folder, place)


def download(source: BucketPath, folder: Path) -> None:
    """Copy what is below a folder of a bucket.

    Args:
        source: the folder.
        folder: folder of this machine to copy into.

    Raises:
        OSError: the bucket may not be read, or the disk is full.
    """

    def fetch(name: str) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            (source / name).copy_to(file)

    with ThreadPoolExecutor(TRANSFERS_AT_ONCE) as pool:
        list(pool.map(fetch, source.walk()))


def upload(folder: Path, target: BucketPath) -> None:
    """Copy a folder's files into a folder of a bucket.

    Args:
        folder: folder of this machine.
        target: folder of the bucket.

    Raises:
        OSError: the bucket may not be written to.
    """

    def send(path: Path) -> None:
        with path.open("rb") as file:
            (target / path.relative_to(folder).as_posix()).copy_from(file)

    files = [path for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(TRANSFERS_AT_ONCE) as pool:
        list(pool.map(send, files))
