"""One decoder per image format, each giving the pixels that Pillow gives.

`tf.io.decode_image` alone is not enough on TensorFlow 2.21: it refuses WebP with alpha, returns
the palette indices of a BMP as if they were colours, and corrupts memory on an animated WebP.
What cannot be decoded rightly is refused like bytes that are no image at all.
"""

from typing import Final

import tensorflow as tf

from transform.byte_ops import equal_octets, octets_at, unsigned

CHANNELS: Final = 3

_JPEG_SHRINK_FACTORS: Final = (1, 2, 4, 8)
# Decoding this raises InvalidArgumentError ("Unknown image file format"). It stands in for the
# bytes by data dependency, because an Assert op may be pruned from a Transform graph.
_REFUSED: Final = b"refused"
_WEBP_ANIMATION_FLAG: Final = 2
_BMP_INFO_HEADER_BYTES: Final = 40
_BMP_FILE_HEADER_BYTES: Final = 14
_BMP_BIT_FIELDS: Final = 3


def decode_jpeg(image_bytes: tf.Tensor, *, min_side_pixels: int) -> tf.Tensor:
    """Decode a JPEG, scaled down in the DCT where that is free.

    Args:
        image_bytes: string scalar, a JPEG: grey, colour, CMYK, baseline or progressive.
        min_side_pixels: the image may come out 2, 4 or 8 times smaller as long as its shorter
            side keeps this many pixels; 0 keeps the size.

    Returns:
        uint8 (height, width, 3), 0..255.
    """

    def decode(factor: int) -> tf.Tensor:
        # The default DCT differs from other decoders by up to 4 levels; this one is exact.
        return tf.io.decode_jpeg(
            image_bytes,
            channels=CHANNELS,
            ratio=factor,
            acceptable_fraction=1.0,  # the default, 1, is no float and costs an eager call a third
            dct_method="INTEGER_ACCURATE",
        )

    if min_side_pixels == 0:
        return decode(1)
    shorter_side = tf.reduce_min(tf.io.extract_jpeg_shape(image_bytes)[:2])
    fits = tf.stack([shorter_side >= factor * min_side_pixels for factor in _JPEG_SHRINK_FACTORS])
    branch = tf.maximum(tf.reduce_sum(tf.cast(fits, tf.int32)) - 1, 0)
    return tf.switch_case(
        branch, [lambda factor=factor: decode(factor) for factor in _JPEG_SHRINK_FACTORS]
    )


def decode_webp(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decode a still WebP; an animated one is refused.

    Args:
        image_bytes: string scalar, a WebP: lossy or lossless, with or without alpha.

    Returns:
        uint8 (height, width, 3), 0..255; alpha is dropped.
    """
    header = octets_at(image_bytes, 12, 9)
    has_flag = tf.not_equal(tf.bitwise.bitwise_and(header[8], _WEBP_ANIMATION_FLAG), 0)
    is_animated = equal_octets(header[0:4], b"VP8X") & has_flag
    image = _decode_any(tf.where(is_animated, _REFUSED, image_bytes), channels=0)
    return image[:, :, :CHANNELS]


def decode_bmp(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decode a BMP of 8 (palette), 24 or 32 bits a pixel; others are refused.

    Args:
        image_bytes: string scalar, a BMP.

    Returns:
        uint8 (height, width, 3), 0..255.

    Source: Microsoft, "BITMAPINFOHEADER structure (wingdi.h)".
    """
    header_bytes = unsigned(octets_at(image_bytes, 14, 4), is_big_endian=False)
    bits = unsigned(octets_at(image_bytes, 28, 2), is_big_endian=False)
    compression = unsigned(octets_at(image_bytes, 30, 4), is_big_endian=False)
    is_plain = tf.equal(compression, 0) & tf.reduce_any(tf.equal(bits, [8, 24, 32]))
    is_bit_fields = tf.equal(compression, _BMP_BIT_FIELDS) & tf.equal(bits, 32)
    is_known = (header_bytes >= _BMP_INFO_HEADER_BYTES) & (is_plain | is_bit_fields)
    safe_bytes = tf.where(is_known, image_bytes, _REFUSED)

    def look_up_palette() -> tf.Tensor:
        # BMP accepts no request for one channel; left alone, 8 bits a pixel give one: the index.
        indices = _decode_any(safe_bytes, channels=0)[:, :, 0]
        palette = octets_at(image_bytes, header_bytes + _BMP_FILE_HEADER_BYTES, 256 * 4)
        blue_green_red = tf.reshape(tf.cast(palette, tf.uint8), (256, 4))
        colours = tf.gather(blue_green_red, [2, 1, 0], axis=1)
        return tf.gather(colours, tf.cast(indices, tf.int32))

    return tf.cond(
        tf.equal(bits, 8), look_up_palette, lambda: _decode_any(safe_bytes, channels=CHANNELS)
    )


def decode_png_or_gif(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decode a PNG, or the first frame of a GIF.

    Args:
        image_bytes: string scalar; a PNG may be grey, palette, alpha or 16-bit.

    Returns:
        uint8 (height, width, 3), 0..255; alpha is dropped, 16-bit channels keep the high byte.
    """
    return _decode_any(image_bytes, channels=CHANNELS)


def _decode_any(image_bytes: tf.Tensor, *, channels: int) -> tf.Tensor:
    return tf.io.decode_image(image_bytes, channels=channels, expand_animations=False)
