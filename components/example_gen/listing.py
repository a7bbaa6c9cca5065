"""The list of files on its way to Beam's workers: a file, since Beam itself would pack it often."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.sources import ImageFile
from schema.features import Split


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Some lines of a listing.

    Attributes:
        offset: byte at which they begin.
        count: how many they are.
    """

    offset: int
    count: int


def write_listing(path: Path, files: Sequence[ImageFile], *, batch_size: int) -> list[FileBatch]:
    """Write the files of a data set, one JSON line each.

    Args:
        path: file to write; its folder is made.
        files: in the order in which they are to be read.
        batch_size: files of a batch, above 0; the last batch may have fewer.

    Returns:
        Batches that cover the listing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    batches: list[FileBatch] = []
    with path.open("wb") as listing:
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            batches.append(FileBatch(listing.tell(), len(batch)))
            listing.writelines(_to_line(file) for file in batch)
    return batches


def read_batch(path: Path, batch: FileBatch) -> list[ImageFile]:
    """Read some lines of a listing.

    Args:
        path: file that `write_listing` wrote.
        batch: one of the batches that it returned.

    Returns:
        The files.
    """
    with path.open("rb") as listing:
        listing.seek(batch.offset)
        return [_from_line(listing.readline()) for _ in range(batch.count)]


def read_spans(path: Path) -> list[int]:
    """Name the spans of the files in a listing.

    Args:
        path: file that `write_listing` wrote.

    Returns:
        Span numbers, ascending.
    """
    with path.open("rb") as listing:
        return sorted({_from_line(line).span for line in listing})


def _to_line(file: ImageFile) -> bytes:
    # JSON's escapes also carry names that are no UTF-8.
    return json.dumps([str(file.path), file.source, file.label, file.split, file.span]).encode() + (
        b"\n"
    )


def _from_line(line: bytes) -> ImageFile:
    path, source, label, split, span = json.loads(line)
    return ImageFile(Path(path), source, label, Split(split) if split else None, span)
