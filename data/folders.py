"""Walks folders: which entries are images, which are companions, and what each folder means."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from configs.errors import DataError
from data.buckets import BucketPath
from schema.features import Split

SPLIT_NAMES: Final = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "validation": Split.VALIDATION,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "dev": Split.VALIDATION,
    "eval": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}
"""Folder names and manifest values that name a split, in lower case."""

# fmt: off
IMAGE_ENDINGS: Final = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".avif",
    ".heic", ".heif",
})
"""Endings that people give to images, readable by Loupe or not."""

COMPANION_ENDINGS: Final = frozenset({
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".xml", ".yaml",
    ".yml", ".toml", ".ini", ".cfg", ".html", ".htm", ".py", ".ipynb", ".log", ".db", ".sqlite",
    ".parquet", ".npy", ".npz", ".pbtxt", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z",
})
"""Endings of files that lie beside images and never are one: ignored. Everything else below a
class folder is listed, so that what is no image is quarantined with a reason instead of lost."""
# fmt: on

_IGNORED_NAMES: Final = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini", "lost+found"})


@dataclass(frozen=True)
class Listing:
    """What one folder holds, hidden and well-known junk entries left out.

    Attributes:
        folders: names of the folders, sorted.
        files: names of the regular files and of links that lead nowhere, sorted.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]


def list_folder(folder: str | Path | BucketPath) -> Listing:
    """List one folder.

    Args:
        folder: path of the folder, or a folder in a bucket; links are followed.

    Returns:
        Its folders and files. Sockets, pipes and devices are left out: reading one may never end.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        folders, files = (
            folder.entries() if isinstance(folder, BucketPath) else _scan_folder(folder)
        )
    except OSError as error:
        raise DataError(
            f"folder '{folder}' cannot be read: {error.strerror}. Make it readable for this user, "
            "or give another data.path."
        ) from error
    return Listing(*(tuple(sorted(filter(_is_of_interest, names))) for names in (folders, files)))


def walk_images(folder: str | BucketPath) -> Iterator[str]:
    """Find the files of a class, at any depth.

    Args:
        folder: path of the class folder, or a folder in a bucket; links are followed, but never
            in a circle.

    Yields:
        Path of each file below the folder, as POSIX text relative to it, in sorted order.
    """
    yield from _walk(folder, "", frozenset())


def is_image_name(name: str) -> bool:
    """Say whether a file name has an ending that people give to images.

    Args:
        name: file name or path.

    Returns:
        True for endings such as `.jpg` in any case.
    """
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS  # noqa: PTH122 - 60,000 names


def _scan_folder(folder: str | Path) -> tuple[list[str], list[str]]:
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_folder(entry):
                folders.append(entry.name)
            elif _may_be_read(entry):
                files.append(entry.name)
    return folders, files


def _is_of_interest(name: str) -> bool:
    return not name.startswith(".") and name not in _IGNORED_NAMES


def _walk(
    folder: str | BucketPath, prefix: str, ancestors: frozenset[tuple[int, int]]
) -> Iterator[str]:
    identity = _identity(folder)
    if identity in ancestors:
        return
    listing = list_folder(folder)
    for name in listing.files:
        if os.path.splitext(name)[1].lower() not in COMPANION_ENDINGS:  # noqa: PTH122
            yield prefix + name
    for name in listing.folders:
        inner = f"{folder}/{name}" if isinstance(folder, str) else folder / name
        yield from _walk(inner, f"{prefix}{name}/", ancestors | {identity})


def _identity(folder: str | BucketPath) -> tuple[int, int]:
    if isinstance(folder, BucketPath):  # no links there
        return 0, hash(folder)
    status = Path(folder).stat()
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _may_be_read(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file() or stat.S_ISREG(entry.stat().st_mode)
    except OSError:  # a link that leads nowhere is kept: quarantine gives it a reason
        return True
