"""Data as a stage is told of it, brought to where its files can be opened."""

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path

from configs.errors import DataError
from data.archives import is_archive, open_archive
from data.places import Place, place_of


@contextlib.contextmanager
def open_data(data_root: str) -> Generator[Place]:
    """Bring a data set to where it can be listed while a block runs.

    Args:
        data_root: folder, manifest or archive, on this machine or in a bucket.

    Yields:
        The folder or manifest to list; only archives are copied and unpacked.

    Raises:
        DataError: nothing is there, or the archive cannot be unpacked.
    """
    place = place_of(data_root)
    if not is_archive(place):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="loupe-data-") as scratch:
        if not isinstance(place, Path):
            archive = Path(scratch) / place.name
            try:
                with archive.open("wb") as file:
                    place.copy_to(file)
            except OSError as error:
                raise DataError(
                    f"archive '{place}' cannot be read: {error.strerror}. Check the address, and "
                    "that this account may read the bucket (roles/storage.objectViewer)."
                ) from error
            place = archive
        yield open_archive(place, Path(scratch) / "unpacked")
