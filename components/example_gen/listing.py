"""The list of files on its way to Beam's workers: a file, since Beam itself would pack it often."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from data.buckets import BucketPath
from data.places import Place, place_of
from data.sources import ImageFile
from schema.features import Split


@dataclass(frozen=True, slots=True)
class FileBatch:
    """Some lines of a listing.

    Attributes:
        offset: byte at which they begin.
        count: how many they are.
        num_bytes: how long they are together.
    """

    offset: int
    count: int
    num_bytes: int


def write_listing(path: Place, files: Sequence[ImageFile], *, batch_size: int) -> list[FileBatch]:
    """Write the files of a data set, one JSON line each.

    Args:
        path: file to write; its folder is made.
        files: in the order in which they are to be read.
        batch_size: files of a batch, above 0; the last batch may have fewer.

    Returns:
        Batches that cover the listing.
    """
    batches: list[FileBatch] = []
    listing = bytearray()
    for start in range(0, len(files), batch_size):
        lines = [_to_line(file) for file in files[start : start + batch_size]]
        offset = len(listing)
        listing += b"".join(lines)
        batches.append(FileBatch(offset, len(lines), len(listing) - offset))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(listing))
    return batches


def read_batch(path: Place, batch: FileBatch) -> list[ImageFile]:
    """Read some lines of a listing.

    Args:
        path: file that `write_listing` wrote.
        batch: one of the batches that it returned.

    Returns:
        The files.
    """
    if isinstance(path, BucketPath):
        lines = path.read_part(batch.offset, batch.num_bytes)
    else:
        with path.open("rb") as listing:
            listing.seek(batch.offset)
            lines = listing.read(batch.num_bytes)
    return [_from_line(line) for line in lines.splitlines()]


def read_spans(path: Place) -> list[int]:
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
    return ImageFile(place_of(path), source, label, Split(split) if split else None, span)
