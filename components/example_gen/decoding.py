"""Pixels to measure, for many images at a time, by the decoders that serving uses."""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from configs.errors import InvalidImageError
from data.images import ImageProbe
from transform.decoders import decode_bmp, decode_jpeg, decode_png_or_gif, decode_webp
from transform.image_ops import orient_image, pixels_to_bytes

MEASURED_SIDE_PIXELS: Final = 288
"""Large JPEGs are decoded at a fraction of their size, as serving does; quality is measured on a
copy half as large as this."""

_DECODERS: Final = {
    "bmp": decode_bmp,
    "gif": decode_png_or_gif,
    "png": decode_png_or_gif,
    "webp": decode_webp,
}
_FRAMING: Final = re.compile(r"\{\{.*?\}\} ?| \[Op:.*")
"""What TensorFlow wraps around the message of an op."""
_IMAGES_AT_ONCE: Final = 8
_MAX_PIXELS_AHEAD: Final = 2_000_000

Pixels = NDArray[np.uint8]


def decode_upright(
    images: Sequence[tuple[bytes, ImageProbe]],
) -> Iterator[Pixels | InvalidImageError]:
    """Decode images and turn them upright.

    Args:
        images: bytes of each file and what its header says.

    Yields:
        For each image its uint8 (height, width, 3) pixels, or what is wrong with it. Only small
        ones are decoded ahead.
    """
    are_plain = [_is_plain(probe) for _, probe in images]
    plain = deque(
        _decode_plain_jpegs([
            data for (data, _), is_plain in zip(images, are_plain, strict=True) if is_plain
        ])
    )
    for (data, probe), is_plain in zip(images, are_plain, strict=True):
        yield plain.popleft() if plain and is_plain else _decode_one(data, probe)


def _is_plain(probe: ImageProbe) -> bool:
    is_small = probe.height * probe.width <= _MAX_PIXELS_AHEAD
    return probe.format == "jpeg" and probe.orientation == 1 and is_small


def _decode_plain_jpegs(images: list[bytes]) -> list[Pixels]:
    # One call for all, because a call costs more than decoding a small JPEG. It fails as a whole
    # when one of them is damaged; each is then decoded by itself to find out which.
    if not images:
        return []
    try:
        shapes, packed = _plain_jpegs_graph(tf.constant(images))
    except tf.errors.InvalidArgumentError:
        return []
    return [
        np.frombuffer(pixels, np.uint8).reshape(shape)
        for pixels, shape in zip(packed.numpy(), shapes.numpy(), strict=True)
    ]


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def _plain_jpegs_graph(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    def decode(one: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = decode_jpeg(one, min_side_pixels=MEASURED_SIDE_PIXELS)
        return tf.shape(pixels), pixels_to_bytes(pixels)

    return tf.map_fn(
        decode,
        images,
        fn_output_signature=(tf.TensorSpec((3,), tf.int32), tf.TensorSpec((), tf.string)),
        parallel_iterations=_IMAGES_AT_ONCE,
    )


def _decode_one(data: bytes, probe: ImageProbe) -> Pixels | InvalidImageError:
    # `decode_image` would find the format out again, which eagerly takes five times as long as
    # decoding a small JPEG.
    image_bytes = tf.constant(data)
    try:
        if probe.format == "jpeg":
            pixels = decode_jpeg(image_bytes, min_side_pixels=MEASURED_SIDE_PIXELS)
        else:
            pixels = _DECODERS[probe.format](image_bytes)
    except tf.errors.InvalidArgumentError as error:
        reason = _FRAMING.sub("", error.message).strip().rstrip(".")
        return InvalidImageError(
            f"the {probe.format} pixels are damaged: {reason}. Copy or export the image again."
        )
    if probe.orientation > 1:
        pixels = orient_image(pixels, orientation=tf.constant(probe.orientation, tf.int64))
    return pixels.numpy()
