"""Walks folders: which entries are images, which are companions, and what each folder means."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from configs.errors import DataError
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


def list_folder(folder: str | Path) -> Listing:
    """List one folder.

    Args:
        folder: path of the folder; links are followed.

    Returns:
        Its folders and files. Sockets, pipes and devices are left out: reading one may never end.

    Raises:
        DataError: the folder cannot be read.
    """
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _IGNORED_NAMES:
                    continue
                if _is_folder(entry):
                    folders.append(entry.name)
                elif _may_be_read(entry):
                    files.append(entry.name)
    except OSError as error:
        raise DataError(
            f"folder '{folder}' cannot be read: {error.strerror}. Make it readable for this user, "
            "or give another data.path."
        ) from error
    return Listing(tuple(sorted(folders)), tuple(sorted(files)))


def walk_images(folder: str) -> Iterator[str]:
    """Find the files of a class, at any depth.

    Args:
        folder: path of the class folder; links are followed, but never in a circle.

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


def _walk(folder: str, prefix: str, ancestors: frozenset[tuple[int, int]]) -> Iterator[str]:
    identity = _identity(folder)
    if identity in ancestors:
        return
    listing = list_folder(folder)
    for name in listing.files:
        if os.path.splitext(name)[1].lower() not in COMPANION_ENDINGS:  # noqa: PTH122
            yield prefix + name
    for name in listing.folders:
        yield from _walk(f"{folder}/{name}", f"{prefix}{name}/", ancestors | {identity})


def _identity(folder: str) -> tuple[int, int]:
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
