"""Where an image says which way is up: the EXIF orientation, read inside the graph.

Reading it with TensorFlow ops means that training and serving need no second implementation. No
arbitrary bytes can make these ops fail: whatever is not a proper tag counts as upright.
"""

from collections.abc import Callable
from typing import Final

import tensorflow as tf

from transform.byte_ops import equal_octets, octets_at, string_length, unsigned

UPRIGHT: Final = 1

_ORIENTATION_TAG: Final = 0x0112
_SHORT: Final = 3
_LONG: Final = 4
# EXIF stands first or second in real files; the limits keep hostile ones from costing time.
_MAX_BLOCKS: Final = 64
_MAX_ENTRIES: Final = 64
_HEADER_BYTES: Final = 10
_EXIF_PREFIX: Final = b"Exif\0\0"

# What a block's header says: (is it EXIF, is it the last to look at, where its content starts,
# where the next block starts), offsets relative to the block.
_Block = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]


def read_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """Read the EXIF orientation of an encoded image.

    JPEG (APP1), PNG (eXIf before the pixels) and WebP (EXIF) carry one; other formats do not.

    Args:
        image_bytes: string scalar, any bytes at all.

    Returns:
        int64 scalar 1..8; 1 (upright) when there is no valid orientation.

    Source: Exif 2.32 (CIPA DC-008) sections 4.5 and 4.6.4; PNG 3rd edition section 11.3.4.5;
        RFC 9649 section 2.7.1.5.
    """
    head = tf.strings.substr(image_bytes, 0, 4)
    tiff_offset = tf.case(
        [
            (
                tf.equal(tf.strings.substr(head, 0, 2), b"\xff\xd8"),
                lambda: _find_exif(image_bytes, 2, _parse_jpeg_segment),
            ),
            (
                tf.equal(head, b"\x89PNG"),
                lambda: _find_exif(image_bytes, 8, _parse_png_chunk),
            ),
            (
                tf.equal(head, b"RIFF"),
                lambda: _find_exif(image_bytes, 12, _parse_webp_chunk),
            ),
        ],
        default=lambda: _int64(-1),
    )
    return tf.cond(
        tiff_offset < 0,
        lambda: _int64(UPRIGHT),
        lambda: _read_tiff_orientation(image_bytes, tiff_offset),
    )


def _find_exif(
    image_bytes: tf.Tensor, start: int, parse: Callable[[tf.Tensor], _Block]
) -> tf.Tensor:
    length = string_length(image_bytes)

    def step(offset: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        header = octets_at(image_bytes, offset, _HEADER_BYTES)
        is_exif, is_last, content, following = parse(header)
        found = tf.where(is_exif, offset + content, _int64(-1))
        return tf.where(is_exif | is_last, length, offset + following), found

    return tf.while_loop(
        lambda offset, _: offset < length,
        step,
        (_int64(start), _int64(-1)),
        maximum_iterations=_MAX_BLOCKS,
    )[1]


def _parse_jpeg_segment(header: tf.Tensor) -> _Block:
    # FF, marker, big-endian length that counts itself; APP1 holds Exif or XMP. Tables and scans
    # come after the application segments and comments, so the first of them ends the search.
    size = unsigned(header[2:4], is_big_endian=True)
    is_application = (header[1] >= 0xE0) & (header[1] <= 0xEF)
    is_comment = tf.equal(header[1], 0xFE)
    is_known = tf.equal(header[0], 0xFF) & (is_application | is_comment) & (size >= 2)
    is_exif = is_known & tf.equal(header[1], 0xE1) & equal_octets(header[4:10], _EXIF_PREFIX)
    return is_exif, tf.logical_not(is_known), _int64(4), size + 2


def _parse_png_chunk(header: tf.Tensor) -> _Block:
    # Length, type, content, 4 bytes of CRC.
    size = unsigned(header[0:4], is_big_endian=True)
    is_exif, is_last = equal_octets(header[4:8], b"eXIf"), equal_octets(header[4:8], b"IDAT")
    return is_exif, is_last, _int64(8), size + 12


def _parse_webp_chunk(header: tf.Tensor) -> _Block:
    # Type, little-endian length, content padded to an even size.
    size = unsigned(header[4:8], is_big_endian=False)
    padded_size = size + tf.math.floormod(size, _int64(2))
    return equal_octets(header[0:4], b"EXIF"), tf.constant(False), _int64(8), padded_size + 8


def _read_tiff_orientation(image_bytes: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    # JPEG always puts a prefix before the TIFF header, some WebP writers do.
    has_prefix = equal_octets(octets_at(image_bytes, offset, 6), _EXIF_PREFIX)
    offset += tf.where(has_prefix, _int64(6), _int64(0))
    header = octets_at(image_bytes, offset, 8)
    is_big_endian = equal_octets(header[0:2], b"MM")

    def number(octets: tf.Tensor) -> tf.Tensor:
        return unsigned(octets, is_big_endian=is_big_endian)

    is_tiff = (is_big_endian | equal_octets(header[0:2], b"II")) & tf.equal(number(header[2:4]), 42)
    directory = offset + number(header[4:8])
    count = number(octets_at(image_bytes, directory, 2))
    raw = octets_at(image_bytes, directory + 2, 12 * _MAX_ENTRIES)
    entries = tf.reshape(raw, (_MAX_ENTRIES, 12))
    kinds = number(entries[:, 2:4])
    is_long = tf.equal(kinds, _LONG)
    values = tf.where(is_long, number(entries[:, 8:12]), number(entries[:, 8:10]))
    matches = (
        tf.equal(number(entries[:, 0:2]), _ORIENTATION_TAG)
        & (is_long | tf.equal(kinds, _SHORT))
        & (tf.range(_MAX_ENTRIES, dtype=tf.int64) < count)
    )
    first = values[tf.argmax(tf.cast(matches, tf.int32))]
    is_valid = is_tiff & tf.reduce_any(matches) & (first >= 1) & (first <= 8)
    return tf.where(is_valid, first, _int64(UPRIGHT))


def _int64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.int64)
