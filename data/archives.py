"""Unpacks an archive of images safely: complete or not at all, and never outside its folder."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final

from configs.errors import DataError
from data.folders import list_folder
from data.places import Place

ARCHIVE_ENDINGS: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_BROKEN: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)


def is_archive(path: Place) -> bool:
    """Say whether a path names an archive.

    Args:
        path: any path.

    Returns:
        True when it ends like one of `ARCHIVE_ENDINGS`.
    """
    return path.name.lower().endswith(ARCHIVE_ENDINGS)


def open_archive(path: Path, destination: Path) -> Path:
    """Unpack an archive.

    Args:
        path: a `.zip` file, or a `.tar` file that may be compressed.
        destination: folder to make; when it exists the archive was unpacked before, and nothing is
            done.

    Returns:
        The folder to list: `destination`, or the one folder inside it that wraps everything.

    Raises:
        DataError: the archive does not exist, is broken, asks for a password, is larger than the
            free disk, or holds a link or a path that leads outside the folder.
    """
    if not destination.is_dir():
        partial = destination.with_name(f".{destination.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            _unpack(path, partial)
            partial.rename(destination)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return _skip_wrapper(destination)


def _unpack(path: Path, folder: Path) -> None:
    members = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    free_bytes = shutil.disk_usage(folder).free
    try:
        for name, size_bytes, content in members(path):
            free_bytes -= size_bytes
            if free_bytes < 0:
                raise DataError(
                    f"archive '{path}' unpacks to more than the free space of '{folder.parent}'. "
                    "Free some space, or unpack it elsewhere and give that folder."
                )
            target = folder / _safe_name(path, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)
    except _BROKEN as error:
        raise DataError(f"archive '{path}' is broken: {error}. Copy it again.") from error
    except RuntimeError as error:  # what zipfile raises for encrypted members
        raise DataError(f"archive '{path}' cannot be unpacked: {error}.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"archive '{path}' cannot be unpacked: {reason}.") from error


def _zip_members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _link_error(path, info.filename)
            if not info.is_dir():
                with archive.open(info) as content:
                    yield info.filename, info.file_size, content


def _tar_members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(path) as archive:
        for info in archive:
            content = archive.extractfile(info) if info.isreg() else None
            if content is not None:
                yield info.name, info.size, content
            elif not info.isdir():
                raise _link_error(path, info.name)


def _link_error(path: Path, name: str) -> DataError:
    return DataError(
        f"archive '{path}' holds '{name}', which is a link or device, expected plain files. Pack "
        "it again with links followed."
    )


def _safe_name(path: Path, name: str) -> str:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or ":" in pure.parts[0]:
        raise DataError(
            f"archive '{path}' holds '{name}', which leads outside the folder it is unpacked to. "
            "Do not trust it; pack the images again."
        )
    return str(pure)


def _skip_wrapper(folder: Path) -> Path:
    # Archives made from a folder hold that folder; a lone class folder holds files, not folders.
    listing = list_folder(folder)
    if len(listing.folders) == 1 and not listing.files:
        inner = folder / listing.folders[0]
        if list_folder(inner).folders:
            return inner
    return folder
