"""Reads the header of a GIF by itself: Pillow would allocate the whole picture to do so."""

import struct
from dataclasses import dataclass
from typing import Final

_SCREEN_BYTES: Final = 13
_FRAME_BYTES: Final = 10
_EXTENSION: Final = 0x21
_FRAME: Final = 0x2C


@dataclass(frozen=True, slots=True)
class GifHeader:
    """What the blocks of a GIF say.

    Attributes:
        width: columns of the screen, or more where the first frame reaches beyond it.
        height: rows, likewise.
        frames: pictures in the file, at least 1.
    """

    width: int
    height: int
    frames: int


def read_gif_header(data: bytes) -> GifHeader:
    """Walk over the blocks of a GIF without decoding one.

    Args:
        data: bytes of the whole file, beginning with `GIF8`.

    Returns:
        Size and number of frames.

    Raises:
        ValueError: there is no frame; its message says so.
        struct.error: the file ends inside a header.

    Source: https://www.w3.org/Graphics/GIF/spec-gif89a.txt.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position, frames = _SCREEN_BYTES + _palette_bytes(flags), 0
    while position < len(data):
        if data[position] == _EXTENSION:
            position = _skip_blocks(data, position + 2)
        elif data[position] == _FRAME:
            left, top, columns, rows, flags = struct.unpack_from("<HHHHB", data, position + 1)
            if frames == 0:
                width, height = max(width, left + columns), max(height, top + rows)
            frames += 1
            position = _skip_blocks(data, position + _FRAME_BYTES + _palette_bytes(flags) + 1)
        else:
            break
    if frames == 0:
        raise ValueError("it holds no picture")
    return GifHeader(width, height, frames)


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_blocks(data: bytes, position: int) -> int:
    while position < len(data) and data[position]:
        position += data[position] + 1
    return position + 1
