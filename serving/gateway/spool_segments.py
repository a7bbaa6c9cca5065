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
        damaged: the bytes from the first frame on that is torn or broken; empty when all is well.
    """

    records: list[PredictionRecord]
    damaged: bytes


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
        All records before the first damage, and the rest.

    Raises:
        OSError: the file cannot be read.
    """
    data = file.read_bytes()
    records: list[PredictionRecord] = []
    place = 0
    while place < len(data):
        end, record = _read_frame(data, place)
        if record is None:
            return Segment(records, data[place:])
        records.append(record)
        place = end
    return Segment(records, b"")


def _read_frame(data: bytes, place: int) -> tuple[int, PredictionRecord | None]:
    start = place + _FRAME.size
    if start > len(data):
        return place, None
    magic, fields_size, image_size, checksum = _FRAME.unpack_from(data, place)
    end = start + fields_size + image_size
    if magic != _MAGIC or end > len(data) or zlib.crc32(data[start:end]) != checksum:
        return place, None
    fields = orjson.loads(data[start : start + fields_size])
    return end, _to_record(fields, data[start + fields_size : end] or None)


def _to_record(fields: dict[str, Any], image: bytes | None) -> PredictionRecord | None:
    if not fields.keys() >= set(_FIELDS):
        return None  # of a program with other fields
    values = {name: fields[name] for name in _FIELDS}
    values["created_at"] = datetime.datetime.fromisoformat(values["created_at"])
    values["route"] = Route(values["route"])
    return PredictionRecord(**values, review_image=image)
