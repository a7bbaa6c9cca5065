"""Records in a file: each framed with its lengths and a checksum, so that a torn end shows."""

import dataclasses
import datetime
import struct
import zlib
from pathlib import Path
from typing import Any, Final

import orjson

from serving.gateway.records import PredictionRecord, Route

_FRAME: Final = struct.Struct(">4sIII")  # magic, lengths of JSON and picture, checksum of both
_MAGIC: Final = b"LPR1"
_FIELDS: Final = tuple(
    field.name for field in dataclasses.fields(PredictionRecord) if field.name != "review_image"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """What a file holds.

    Attributes:
        records: in the order they were appended.
        damaged: the bytes that are no record; empty when all is well.
        unfinished: the beginning of a record at the end of the file, whose process was killed
            while it wrote; it never said that it has that record. Empty when all is well.
    """

    records: list[PredictionRecord]
    damaged: bytes
    unfinished: bytes


def encode_record(record: PredictionRecord) -> bytes:
    """Write a record as one frame.

    Args:
        record: what to write; its picture is included.

    Returns:
        The frame.

    Raises:
        TypeError: a field holds what JSON cannot.
    """
    fields = orjson.dumps({name: getattr(record, name) for name in _FIELDS})
    image = record.review_image or b""
    checksum = zlib.crc32(image, zlib.crc32(fields))
    return b"".join((_FRAME.pack(_MAGIC, len(fields), len(image), checksum), fields, image))


def read_segment(file: Path) -> Segment:
    """Read a file of frames.

    Args:
        file: what was appended to, whole or cut off anywhere.

    Returns:
        All good records, and the rest: from the first broken frame on nothing can be told apart
        any more; a whole frame that holds no record of this program stands alone.

    Raises:
        OSError: the file cannot be read.
    """
    data = file.read_bytes()
    records: list[PredictionRecord] = []
    damaged: list[bytes] = []
    unfinished = b""
    place = 0
    while place < len(data):
        frame = _read_frame(data, place)
        if frame is None:
            if _is_unfinished(data, place):
                unfinished = data[place:]
            else:
                damaged.append(data[place:])
            break
        try:
            records.append(_to_record(*frame.parts))
        except (TypeError, ValueError):
            damaged.append(data[place : frame.end])
        place = frame.end
    return Segment(records, b"".join(damaged), unfinished)


@dataclasses.dataclass(frozen=True, slots=True)
class _Frame:
    parts: tuple[bytes, bytes]
    end: int


def _read_frame(data: bytes, place: int) -> _Frame | None:
    start = place + _FRAME.size
    if start > len(data):
        return None
    magic, fields_size, image_size, checksum = _FRAME.unpack_from(data, place)
    middle, end = start + fields_size, start + fields_size + image_size
    if magic != _MAGIC or end > len(data) or zlib.crc32(data[start:end]) != checksum:
        return None
    return _Frame((data[start:middle], data[middle:end]), end)


def _is_unfinished(data: bytes, place: int) -> bool:
    # Damage may hide whole records behind it; a record that was being written is the last.
    start = place + _FRAME.size
    if start > len(data):
        return _MAGIC.startswith(data[place : place + len(_MAGIC)])
    magic, fields_size, image_size, _ = _FRAME.unpack_from(data, place)
    is_cut_off = magic == _MAGIC and start + fields_size + image_size > len(data)
    return is_cut_off and _MAGIC not in data[start:]


def _to_record(fields: bytes, image: bytes) -> PredictionRecord:
    values: dict[str, Any] = orjson.loads(fields)
    values["created_at"] = datetime.datetime.fromisoformat(values.get("created_at", ""))
    values["route"] = Route(values.get("route"))
    return PredictionRecord(**values, review_image=image or None)
