"""The size of an encoded image, read from its header bytes; no pixel is decoded.

Written for input that means harm: what the decoders of TensorFlow would skip is skipped, all work
is bounded, and bytes that no decoder would take have no size (the model then says what is wrong).
"""

import re
import struct
from collections.abc import Callable
from typing import Final

MAX_BLOCKS: Final = 200_000
"""Segments, chunks or blocks looked at in one image; a GIF of 50 MB has as many."""
UNBOUNDED: Final = 2**62
"""Pixels of an image that hides them behind more than `MAX_BLOCKS` blocks."""
# A marker is FF and a byte other than 00 and FF; libjpeg skips what lies between segments.
_MARKER: Final = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_FRAMES_OF_JPEG: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN: Final = 0xDA
_GIF_EXTENSION: Final = 0x21
_GIF_FRAME: Final = 0x2C
_BMP_OLD_HEADER: Final = 12
_BMP_HEADERS: Final = frozenset({_BMP_OLD_HEADER, 16, 40, 52, 56, 64, 108, 124})


def count_pixels(data: bytes) -> int | None:
    """Count the pixels that decoding an image would make, those of all frames together.

    Args:
        data: bytes of the whole file.

    Returns:
        Width times height, of the largest frame times the number of frames; None when the bytes
        are no JPEG, PNG, BMP, GIF or WebP, or end before the size.
    """
    reader = _find_reader(data)
    if reader is None:
        return None
    try:
        return reader(data)
    except (struct.error, IndexError):  # cut off
        return None


def _find_reader(data: bytes) -> Callable[[bytes], int | None] | None:
    if data.startswith(b"\xff\xd8\xff"):
        return _count_jpeg
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _count_png
    if data.startswith(b"GIF8"):
        return _count_gif
    if data.startswith(b"BM"):
        return _count_bmp
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _count_webp
    return None


def _count_jpeg(data: bytes) -> int | None:
    position = 2
    for _ in range(MAX_BLOCKS):
        match = _MARKER.search(data, position)
        if match is None:
            return None
        marker, position = data[match.end() - 1], match.end()
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in _FRAMES_OF_JPEG:
            height, width = struct.unpack_from(">HH", data, position + 3)
            return height * width
        if marker == _SCAN:  # pixels before any size: no decoder takes that
            return None
        (length,) = struct.unpack_from(">H", data, position)
        position += length
    return UNBOUNDED


def _count_png(data: bytes) -> int:
    width, height = struct.unpack_from(">II", data, 16)
    return width * height


def _count_bmp(data: bytes) -> int | None:
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    if header_bytes not in _BMP_HEADERS:  # text may begin with BM too
        return None
    if header_bytes == _BMP_OLD_HEADER:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(width * height)  # a negative height means that the top row comes first


def _count_gif(data: bytes) -> int | None:
    flags = struct.unpack_from("<HHB", data, 6)[2]
    position = 13 + _palette_bytes(flags)
    frames = largest = 0
    blocks_left = MAX_BLOCKS
    while position < len(data):
        if data[position] == _GIF_EXTENSION:
            position += 2
        elif data[position] == _GIF_FRAME:
            width, height, flags = struct.unpack_from("<HHB", data, position + 5)
            frames, largest = frames + 1, max(largest, width * height)
            position += 11 + _palette_bytes(flags)
        else:
            break
        while position < len(data) and data[position]:
            position += data[position] + 1
            blocks_left -= 1
            if not blocks_left:
                return UNBOUNDED
        position += 1
    return frames * largest or None


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _count_webp(data: bytes) -> int | None:
    kind = data[12:16]
    if kind == b"VP8X":
        canvas = _webp_canvas(data)
        return canvas * max(1, _count_webp_frames(data))
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return (width & 0x3FFF) * (height & 0x3FFF)
    return None


def _webp_canvas(data: bytes) -> int:
    if len(data) < 30:
        raise IndexError("cut off")
    width = int.from_bytes(data[24:27], "little") + 1
    return width * (int.from_bytes(data[27:30], "little") + 1)


def _count_webp_frames(data: bytes) -> int:
    position, frames = 12, 0
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            return frames
        frames += data[position : position + 4] == b"ANMF"
        (length,) = struct.unpack_from("<I", data, position + 4)
        position += 8 + length + length % 2
    return MAX_BLOCKS
