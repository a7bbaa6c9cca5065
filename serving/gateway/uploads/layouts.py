"""Finds out where a picture ends and which of its bytes are no picture, without decoding it.

Pillow stops reading at the last pixel and libpng, libjpeg and giflib disagree about what may be
missing behind it. Walking over the blocks settles whether a file is whole, before anything is
allocated, and finds what else it carries.
"""

import dataclasses
import re
import struct
from collections.abc import Callable
from typing import Final

from serving.gateway.errors import UnprocessableError

Span = tuple[int, int]

_MAX_BLOCKS: Final = 100_000  # 10 MiB of a GIF's full blocks are 41,000
_MAX_SCANS: Final = 100  # of a progressive JPEG; encoders write about 10

# Neither a stuffed 0xff of the compressed data nor one of its restart marks.
_JPEG_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_JPEG_END: Final = 0xD9
_JPEG_SCAN: Final = 0xDA
_JPEG_WITHOUT_LENGTH: Final = {0x01, 0xD8}
_JPEG_COMMENT: Final = 0xFE
_JPEG_APPLICATION: Final = range(0xE0, 0xF0)

_PNG_HEADER_BYTES: Final = 8
_PNG_CHUNK_BYTES: Final = 12
_PNG_OPTIONAL: Final = 0x20

_GIF_EXTENSION, _GIF_FRAME, _GIF_END = 0x21, 0x2C, 0x3B
_GIF_SCREEN_BYTES: Final = 13
_GIF_FRAME_BYTES: Final = 10

_WEBP_HEADER_BYTES: Final = 12
_WEBP_PICTURE: Final = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}

_BMP_FILE_HEADER_BYTES: Final = 14


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of an image file lie.

    Attributes:
        end: offset behind the picture's end mark; None when the file ends before it.
        metadata: (start, end) of what is neither pixels nor needed to read them.
        pixels: (start, end) of a PNG's compressed pixels; empty for other formats.
    """

    end: int | None
    metadata: tuple[Span, ...]
    pixels: tuple[Span, ...] = ()

    @property
    def metadata_bytes(self) -> int:
        """Add up the metadata.

        Returns:
            Bytes that are no picture.
        """
        return sum(end - start for start, end in self.metadata)


def read_layout(data: bytes, image_format: str) -> Layout:
    """Walk over the blocks of an image file.

    Args:
        data: bytes of the whole file.
        image_format: `jpeg`, `png`, `bmp`, `gif` or `webp`, as its first bytes say.

    Returns:
        Where its parts lie. A damaged header gives what was found up to there.

    Raises:
        UnprocessableError: the file has so many blocks that reading it would cost seconds.

    Source: ITU-T T.81 annex B; PNG 3rd edition section 5; GIF89a; RFC 9649; Microsoft,
        "BITMAPINFOHEADER structure (wingdi.h)".
    """
    try:
        return _READERS[image_format](data)
    except (struct.error, IndexError):  # the file ends within a header
        return Layout(None, ())


def _read_jpeg(data: bytes) -> Layout:
    position, blocks, scans = 2, 0, 0
    metadata: list[Span] = []
    while match := _JPEG_MARKER.search(data, position):
        marker, position = data[match.end() - 1], match.end()
        if marker == _JPEG_END:
            return Layout(position, tuple(metadata))
        if marker in _JPEG_WITHOUT_LENGTH:
            continue
        following = position + max(2, int.from_bytes(data[position : position + 2], "big"))
        if marker in _JPEG_APPLICATION or marker == _JPEG_COMMENT:
            metadata.append((position + 2, following))
        blocks, scans = blocks + 1, scans + (marker == _JPEG_SCAN)
        _check_count("scans", scans, _MAX_SCANS)
        _check_count("segments", blocks, _MAX_BLOCKS)
        position = following
    return Layout(None, tuple(metadata))


def _read_png(data: bytes) -> Layout:
    position, blocks = _PNG_HEADER_BYTES, 0
    metadata: list[Span] = []
    pixels: list[Span] = []
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        content, position = position + 8, position + _PNG_CHUNK_BYTES + length
        if position > len(data):
            break
        if kind == b"IEND":
            return Layout(position, tuple(metadata), tuple(pixels))
        if kind == b"IDAT":
            pixels.append((content, content + length))
        elif kind[0] & _PNG_OPTIONAL and kind != b"fdAT":  # frames of an animation
            metadata.append((content, content + length))
        blocks += 1
        _check_count("chunks", blocks, _MAX_BLOCKS)
    return Layout(None, tuple(metadata), tuple(pixels))


def _read_gif(data: bytes) -> Layout:
    position, blocks = _GIF_SCREEN_BYTES + _palette_bytes(data[10]), 0
    metadata: list[Span] = []
    while position < len(data) and data[position] != _GIF_END:
        start = position + 2
        if data[position] == _GIF_FRAME:
            flags = data[position + _GIF_FRAME_BYTES - 1]
            start = position + _GIF_FRAME_BYTES + _palette_bytes(flags) + 1
        elif data[position] != _GIF_EXTENSION:
            return Layout(None, tuple(metadata))
        is_metadata, position = data[position] == _GIF_EXTENSION, start
        while size := data[position]:
            position, blocks = position + size + 1, blocks + 1
            _check_count("blocks", blocks, _MAX_BLOCKS)
        position += 1
        if is_metadata:
            metadata.append((start, position))
    return Layout(position + 1 if position < len(data) else None, tuple(metadata))


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _read_webp(data: bytes) -> Layout:
    (size,) = struct.unpack_from("<I", data, 4)
    end = 8 + size
    if end > len(data):
        return Layout(None, ())
    position, blocks = _WEBP_HEADER_BYTES, 0
    metadata: list[Span] = []
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        content = position + 8
        if content + length > end:
            return Layout(None, tuple(metadata))
        if kind not in _WEBP_PICTURE:
            metadata.append((content, content + length))
        position = content + length + length % 2
        blocks += 1
        _check_count("chunks", blocks, _MAX_BLOCKS)
    return Layout(max(end, min(position, len(data))), tuple(metadata))


def _read_bmp(data: bytes) -> Layout:
    offset, header_bytes, width, height = struct.unpack_from("<IIii", data, 10)
    (bits,) = struct.unpack_from("<H", data, 28)
    row_bytes = (abs(width) * bits + 31) // 32 * 4
    end = offset + row_bytes * abs(height)
    metadata = (_BMP_FILE_HEADER_BYTES + header_bytes, max(offset, header_bytes))
    return Layout(end if end <= len(data) else None, (metadata,))


def _check_count(what: str, count: int, most: int) -> None:
    if count > most:
        raise UnprocessableError(
            f"the image is made of more than {most} {what}, which no camera or program writes",
            got=f"more than {most} {what}",
            accepted=f"at most {most} {what}",
            fix="Open the picture and save it again.",
        )


_READERS: Final[dict[str, Callable[[bytes], Layout]]] = {
    "jpeg": _read_jpeg,
    "png": _read_png,
    "gif": _read_gif,
    "webp": _read_webp,
    "bmp": _read_bmp,
}
