"""Numbers out of the headers of image files, as graph ops that no bytes can make fail."""

from collections.abc import Iterable

import tensorflow as tf


def octets_at(data: tf.Tensor, offset: tf.Tensor | int, size: int) -> tf.Tensor:
    """Cut bytes out of a string; zeros stand for what lies past its end.

    Args:
        data: string scalar.
        offset: int64 scalar, first byte, 0 or more.
        size: number of bytes, above 0.

    Returns:
        int64 (size,), 0..255.
    """
    start = tf.minimum(tf.cast(offset, tf.int64), string_length(data))
    piece = tf.strings.substr(data, start, tf.constant(size, tf.int64))
    return tf.cast(tf.io.decode_raw(piece, tf.uint8, fixed_length=size), tf.int64)


def string_length(data: tf.Tensor) -> tf.Tensor:
    """Count the bytes of a string.

    Args:
        data: string scalar.

    Returns:
        int64 scalar.
    """
    return tf.cast(tf.strings.length(data), tf.int64)


def unsigned(octets: tf.Tensor, *, is_big_endian: tf.Tensor | bool) -> tf.Tensor:
    """Read the last axis as one unsigned number.

    Args:
        octets: int64 (..., n), 0..255, n at most 7.
        is_big_endian: bool scalar, the byte order.

    Returns:
        int64 (...).
    """
    size: int = octets.shape[-1]  # pyright: ignore[reportAssignmentType]
    powers = [256**power for power in range(size)]
    big_endian = tf.reduce_sum(octets * tf.constant(powers[::-1], tf.int64), axis=-1)
    little_endian = tf.reduce_sum(octets * tf.constant(powers, tf.int64), axis=-1)
    return tf.where(is_big_endian, big_endian, little_endian)


def equal_octets(octets: tf.Tensor, expected: Iterable[int]) -> tf.Tensor:
    """Compare bytes with a constant.

    Args:
        octets: int64 (n,), 0..255.
        expected: n bytes.

    Returns:
        bool scalar.
    """
    return tf.reduce_all(tf.equal(octets, tf.constant(list(expected), tf.int64)))
