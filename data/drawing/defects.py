"""Spoils files the way uploads and disks do."""

import struct
import zlib
from typing import Final

import numpy as np

_BOMB_SIDE: Final = 60_000
_TEXT: Final = b"This is not an image, although its name says so.\n"


def spoil_file(data: bytes, rng: np.random.Generator) -> bytes:
    """Turn the bytes of an image into bytes nobody can decode.

    Args:
        data: a whole image.
        rng: chooses what happens.

    Returns:
        A truncated file, an empty one, text, an image without its signature, or a PNG whose header
        promises 60,000 x 60,000 pixels.
    """
    match int(rng.integers(5)):
        case 0:
            return data[: int(len(data) * rng.uniform(0.3, 0.7))]
        case 1:
            return b""
        case 2:
            return _TEXT
        case 3:
            return rng.bytes(8) + data[8:]
        case _:
            return _write_bomb()


def _write_bomb() -> bytes:
    header = struct.pack(">IIBBBBB", _BOMB_SIDE, _BOMB_SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    )
