"""The file that names the blessed versions of a model, in the folder of its versions."""

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfx.dsl.io import fileio

from components.pusher.versions import SAVED_MODEL_FILENAME, flush_folder, writer_name
from configs.errors import DataError

POINTER_FILENAME = ".blessed.json"
"""Model servers look only at names that are integers."""
KEPT_VERSIONS = 20


@dataclass(frozen=True)
class BlessedVersion:
    """A version that was pushed with both blessings.

    Attributes:
        version: name of its folder.
        model_sha256: fingerprint of the model as the Trainer left it.
        promoted: when it was noted, ISO 8601.
    """

    version: int
    model_sha256: str
    promoted: str


def read_pointer(folder: str) -> list[BlessedVersion]:
    """Read which versions were blessed.

    Args:
        folder: folder of the version folders, local or a URL that TFX can read.

    Returns:
        The newest first; empty before the first.

    Raises:
        DataError: the file does not hold what `write_pointer` writes.
    """
    path = _pointer_path(folder)
    if not fileio.exists(path):
        return []
    with fileio.open(path, "r") as file:
        text = file.read()
    try:
        return [BlessedVersion(**row) for row in json.loads(text)["blessed"]]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"'{path}' is not a list of blessed versions ({type(error).__name__}: {error}). Remove "
            "it, and the next model is judged without a baseline; or restore it from a backup."
        ) from error


def write_pointer(folder: str, versions: Sequence[BlessedVersion]) -> None:
    """Write which versions were blessed, in one step.

    Args:
        folder: folder of the version folders, local or a URL that TFX can write.
        versions: the newest first.
    """
    rows = [dataclasses.asdict(version) for version in versions[:KEPT_VERSIONS]]
    text = json.dumps({"blessed": rows}, indent=1) + "\n"
    path = _pointer_path(folder)
    temporary = f"{path}.{writer_name()}"
    if "://" in folder:
        with fileio.open(temporary, "w") as file:
            file.write(text)
        fileio.rename(temporary, path, overwrite=True)
        return
    with Path(temporary).open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).rename(path)
    flush_folder(Path(folder))


def version_folder(folder: str, version: int) -> str:
    """Say where a version is.

    Args:
        folder: folder of the version folders.
        version: name of the version.

    Returns:
        Path or URL of the version's folder.
    """
    return f"{folder.rstrip('/')}/{version}"


def find_baseline_version(folder: str, candidate_sha256: str) -> int | None:
    """Find the newest blessed version that is not the candidate itself.

    A run that is repeated on unchanged data has the candidate of the run before: that one is left
    out, so that the baseline stays what it was and all results are in the cache.

    Args:
        folder: folder of the version folders.
        candidate_sha256: fingerprint of the candidate.

    Returns:
        The version; None when there is none, or its folder is gone.
    """
    for blessed in read_pointer(folder):
        model_file = f"{version_folder(folder, blessed.version)}/{SAVED_MODEL_FILENAME}"
        if blessed.model_sha256 != candidate_sha256 and fileio.exists(model_file):
            return blessed.version
    return None


def promote(folder: str, blessed: BlessedVersion) -> bool:
    """Note that a version was blessed, unless that is known.

    Args:
        folder: folder of the version folders.
        blessed: the version.

    Returns:
        Whether it is news; an older version than the newest never replaces it.
    """
    known = read_pointer(folder)
    if known and known[0].version >= blessed.version:
        return False
    write_pointer(folder, [blessed, *known])
    return True


def _pointer_path(folder: str) -> str:
    return f"{folder.rstrip('/')}/{POINTER_FILENAME}"
