"""Checks the compressed pixels of a PNG: their check sums, and what they inflate to."""

import struct
import zlib
from collections.abc import Sequence
from typing import Final

from serving.gateway.uploads.layouts import Span

_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column, first row, steps of columns and rows of the seven passes.
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_WHOLE: Final = ((0, 0, 1, 1),)
_STEP_BYTES: Final = 1 << 18
_END_SUM: Final = zlib.crc32(b"IEND")


def are_sums_right(data: bytes, pixels: Sequence[Span], end: int) -> bool:
    """Check the sums of the chunks that Pillow does not check and libpng does.

    Args:
        data: bytes of a whole PNG.
        pixels: (start, end) of its compressed pixels.
        end: offset behind its end chunk.

    Returns:
        Whether all of them are right.
    """
    view = memoryview(data)
    sums = [(zlib.crc32(view[start - 4 : stop]), stop) for start, stop in pixels]
    return all(
        int.from_bytes(view[place : place + 4], "big") == expected
        for expected, place in (*sums, (_END_SUM, end - 4))
    )


def promised_bytes(data: bytes) -> int:
    """Work out how many bytes the header promises.

    Args:
        data: bytes of a PNG that has a valid header.

    Returns:
        Bytes of all rows with their filter bytes.

    Source: PNG 3rd edition sections 8 and 9.
    """
    width, height, depth, colour, _, _, is_interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _CHANNELS.get(colour, 4)
    total = 0
    for left, top, columns_step, rows_step in _ADAM7 if is_interlaced else _WHOLE:
        columns = -((left - width) // columns_step)
        rows = -((top - height) // rows_step)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def inflated_bytes(data: bytes, pixels: Sequence[Span], *, most: int) -> int:
    """Inflate the pixels piece by piece, and count.

    Args:
        data: bytes of a PNG.
        pixels: (start, end) of its compressed pixels.
        most: where counting may stop.

    Returns:
        How many bytes come out; any number above `most` for more.

    Raises:
        zlib.error: the compressed pixels are damaged.
    """
    inflater, total = zlib.decompressobj(), 0
    for start, end in pixels:
        piece: bytes | memoryview = memoryview(data)[start:end]
        while total <= most and not inflater.eof:
            inflated = inflater.decompress(piece, _STEP_BYTES)
            total += len(inflated)
            piece = inflater.unconsumed_tail
            if not piece and len(inflated) < _STEP_BYTES:
                break
    return total
