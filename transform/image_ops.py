"""Bytes become pixels here, and nowhere else.

Every op takes one tensor and returns one, and works eagerly, in `tf.data`, in a Transform graph
and in an exported SavedModel alike. Decisions made once, for training and serving:

* Alpha is dropped, not blended: the colours of the file are used, as Pillow's `convert("RGB")`.
* Of an animation the first frame counts; 16-bit channels keep their high byte.
* An image is stretched to the model's size; its aspect ratio is not kept.
* A JPEG much larger than the model's input is scaled down by 2, 4 or 8 while it is decoded, which
  keeps a 50-megapixel photo from costing 600 MB.
"""

from collections.abc import Callable
from typing import Final

import tensorflow as tf

from transform.decoders import (
    CHANNELS,
    decode_bmp,
    decode_jpeg,
    decode_png_or_gif,
    decode_webp,
)
from transform.exif import read_orientation

_PARALLEL_IMAGES: Final = 8
_HOLDS_EXIF: Final = r"(?s)\C*Exif\C*"  # \C is any byte, also within what is no UTF-8


def image_bytes_to_pixels(
    image_bytes: tf.Tensor, *, height_pixels: int, width_pixels: int
) -> tf.Tensor:
    """Decode an image, turn it upright and resize it.

    Args:
        image_bytes: string scalar, an encoded JPEG, PNG, BMP, GIF or WebP.
        height_pixels: height of the result, above 0.
        width_pixels: width of the result, above 0.

    Returns:
        uint8 (height_pixels, width_pixels, 3), 0..255. Bytes that are no image raise
        `tf.errors.InvalidArgumentError` when the op runs.
    """
    image = decode_image(image_bytes, min_side_pixels=max(height_pixels, width_pixels))
    image = orient_image(image, orientation=read_orientation(image_bytes))
    return resize_image(image, height_pixels=height_pixels, width_pixels=width_pixels)


def image_batch_to_pixels(
    image_bytes: tf.Tensor, *, height_pixels: int, width_pixels: int
) -> tf.Tensor:
    """Apply `image_bytes_to_pixels` to each image of a batch, several at a time.

    Args:
        image_bytes: string (batch,), encoded images of any sizes and formats.
        height_pixels: height of the result, above 0.
        width_pixels: width of the result, above 0.

    Returns:
        uint8 (batch, height_pixels, width_pixels, 3), 0..255.
    """
    spec = tf.TensorSpec((height_pixels, width_pixels, CHANNELS), tf.uint8)
    return _map_images(
        image_bytes,
        lambda pixels: pixels,
        spec,
        height_pixels=height_pixels,
        width_pixels=width_pixels,
    )


def image_batch_to_bytes(
    image_bytes: tf.Tensor, *, height_pixels: int, width_pixels: int
) -> tf.Tensor:
    """Apply `image_bytes_to_pixels` and `pixels_to_bytes` to each image of a batch.

    Args:
        image_bytes: string (batch,), encoded images of any sizes and formats.
        height_pixels: height of the images in the result, above 0.
        width_pixels: width of the images in the result, above 0.

    Returns:
        string (batch,), each of height_pixels * width_pixels * 3 bytes.
    """
    return _map_images(
        image_bytes,
        pixels_to_bytes,
        tf.TensorSpec((), tf.string),
        height_pixels=height_pixels,
        width_pixels=width_pixels,
    )


def decode_image(image_bytes: tf.Tensor, *, min_side_pixels: int = 0) -> tf.Tensor:
    """Decode an image to three channels, the way Pillow does.

    Args:
        image_bytes: string scalar, an encoded JPEG, PNG, BMP, GIF or WebP.
        min_side_pixels: a JPEG may come out 2, 4 or 8 times smaller as long as its shorter side
            keeps this many pixels; 0 keeps the size.

    Returns:
        uint8 (height, width, 3), 0..255, as stored: EXIF orientation is not applied.
    """
    head = tf.strings.substr(image_bytes, 0, 4)
    image = tf.case(
        [
            (
                tf.io.is_jpeg(image_bytes),
                lambda: decode_jpeg(image_bytes, min_side_pixels=min_side_pixels),
            ),
            (tf.equal(head, b"RIFF"), lambda: decode_webp(image_bytes)),
            (tf.equal(tf.strings.substr(head, 0, 2), b"BM"), lambda: decode_bmp(image_bytes)),
        ],
        default=lambda: decode_png_or_gif(image_bytes),
    )
    return tf.ensure_shape(image, (None, None, CHANNELS))


def orient_image(image: tf.Tensor, *, orientation: tf.Tensor) -> tf.Tensor:
    """Turn an image so that it stands as its EXIF orientation says.

    Args:
        image: any dtype (height, width, channels).
        orientation: int64 scalar 1..8, from `read_orientation`.

    Returns:
        The upright image, dtype unchanged; height and width swap for orientations 5 to 8.

    Source: Exif 2.32 (CIPA DC-008) section 4.6.4, tag 274.
    """

    def turn() -> tf.Tensor:
        is_transposed = orientation >= 5
        turned = tf.cond(is_transposed, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        flips_height = tf.reduce_any(tf.equal(orientation, [3, 4, 7, 8]))
        flips_width = tf.reduce_any(tf.equal(orientation, [2, 3, 6, 7]))
        turned = tf.cond(flips_height, lambda: tf.reverse(turned, [0]), lambda: turned)
        return tf.cond(flips_width, lambda: tf.reverse(turned, [1]), lambda: turned)

    oriented = tf.cond(orientation > 1, turn, lambda: image)
    return tf.ensure_shape(oriented, (None, None, image.shape[-1]))


def resize_image(image: tf.Tensor, *, height_pixels: int, width_pixels: int) -> tf.Tensor:
    """Resize with a triangle filter that widens when shrinking, so that nothing aliases.

    Args:
        image: uint8 (height, width, 3), 0..255.
        height_pixels: height of the result, above 0.
        width_pixels: width of the result, above 0.

    Returns:
        uint8 (height_pixels, width_pixels, 3), 0..255, rounded to the nearest.
    """
    resized = tf.image.resize(image, (height_pixels, width_pixels), antialias=True)
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def pixels_to_bytes(pixels: tf.Tensor) -> tf.Tensor:
    """Pack the pixels of one image into the form that a transformed `tf.Example` holds.

    Args:
        pixels: uint8 (height, width, 3).

    Returns:
        string scalar of height * width * 3 bytes, row by row.
    """
    num_bytes = tf.size(pixels)
    # TensorFlow has no inverse of decode_raw; the content is the last field of a TensorProto.
    return tf.strings.substr(tf.io.serialize_tensor(pixels), -num_bytes, num_bytes)


def bytes_to_pixels(data: tf.Tensor, *, height_pixels: int, width_pixels: int) -> tf.Tensor:
    """Unpack what `pixels_to_bytes` packed, a whole batch at once.

    Args:
        data: string (...), each of height_pixels * width_pixels * 3 bytes.
        height_pixels: height of the images.
        width_pixels: width of the images.

    Returns:
        uint8 (..., height_pixels, width_pixels, 3).
    """
    flat = tf.io.decode_raw(data, tf.uint8)
    shape = (height_pixels, width_pixels, CHANNELS)
    return tf.reshape(flat, tf.concat([tf.shape(data), shape], axis=0))


def scale_pixels(pixels: tf.Tensor) -> tf.Tensor:
    """Scale pixels to the range that networks like; the first step inside every model.

    Args:
        pixels: any numeric dtype, any shape, 0..255.

    Returns:
        float32, same shape, -1..1.
    """
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


def _map_images(
    image_bytes: tf.Tensor,
    finish: Callable[[tf.Tensor], tf.Tensor],
    signature: tf.TensorSpec,
    *,
    height_pixels: int,
    width_pixels: int,
) -> tf.Tensor:
    # Finding out format and orientation takes twice as long as decoding a small image. A JPEG
    # without EXIF, which most are, needs neither; batches are split into those and the rest.
    def convert_plain(one: tf.Tensor) -> tf.Tensor:
        image = decode_jpeg(one, min_side_pixels=max(height_pixels, width_pixels))
        return finish(resize_image(image, height_pixels=height_pixels, width_pixels=width_pixels))

    def convert_any(one: tf.Tensor) -> tf.Tensor:
        return finish(
            image_bytes_to_pixels(one, height_pixels=height_pixels, width_pixels=width_pixels)
        )

    kinds = tf.cast(_is_plain_jpeg(image_bytes), tf.int32)
    positions = tf.dynamic_partition(tf.range(tf.size(image_bytes)), kinds, 2)
    groups = tf.dynamic_partition(image_bytes, kinds, 2)
    converted = [
        tf.map_fn(
            convert, group, fn_output_signature=signature, parallel_iterations=_PARALLEL_IMAGES
        )
        for convert, group in zip((convert_any, convert_plain), groups, strict=True)
    ]
    return tf.ensure_shape(
        tf.dynamic_stitch(positions, converted), [None, *signature.shape.as_list()]
    )


def _is_plain_jpeg(image_bytes: tf.Tensor) -> tf.Tensor:
    is_jpeg = tf.equal(tf.strings.substr(image_bytes, 0, 3), b"\xff\xd8\xff")
    return is_jpeg & ~tf.strings.regex_full_match(image_bytes, _HOLDS_EXIF)
