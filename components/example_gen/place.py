"""Data as a stage is told of it, brought to where its files can be opened."""

import contextlib
import os
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfx.dsl.io import fileio

from configs.errors import DataError
from data.archives import is_archive, open_archive

DOWNLOADS_AT_ONCE = 16
"""Object stores answer slowly, and many requests at a time."""


@contextlib.contextmanager
def open_data(data_root: str) -> Generator[Path]:
    """Bring a data set to this machine while a block runs.

    Args:
        data_root: folder, manifest or archive; or the URL of a folder or archive that TFX can read,
            such as gs://bucket/photos.

    Yields:
        The folder or manifest to list; a local one is left where it is.

    Raises:
        DataError: nothing is there, or the archive cannot be unpacked.
    """
    if "://" not in data_root and not is_archive(Path(data_root)):
        yield Path(data_root)
        return
    with tempfile.TemporaryDirectory(prefix="loupe-data-") as scratch:
        path = Path(data_root)
        if "://" in data_root:
            path = Path(scratch) / "downloaded" / data_root.rstrip("/").rpartition("/")[2]
            _download(data_root.rstrip("/"), path)
        yield open_archive(path, Path(scratch) / "unpacked") if is_archive(path) else path


def _download(url: str, target: Path) -> None:
    if not fileio.exists(url):
        raise DataError(
            f"data '{url}' does not exist, or may not be read by this account. Check the address "
            "and the rights of the service account."
        )
    if not fileio.isdir(url):
        target.parent.mkdir(parents=True)
        fileio.copy(url, str(target))
        return
    files: list[tuple[str, str]] = []
    for folder, _, names in fileio.walk(url):
        destination = target / os.path.relpath(str(folder), url)
        destination.mkdir(parents=True, exist_ok=True)
        base = str(folder).rstrip("/")
        files += [(f"{base}/{name}", str(destination / name)) for name in map(str, names)]
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        list(pool.map(lambda pair: fileio.copy(*pair), files))
