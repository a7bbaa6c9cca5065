"""Random changes to training images; evaluation and serving never see them.

One geometric and one colour transformation per image: flip, rotation, scale and shift are a single
projective map, brightness, contrast and saturation a single affine map of the colours, so that the
cost is that of one resampling. The randomness is stateless: the same seed changes the same way.
"""

import math
from typing import Final

import tensorflow as tf

# What a strength of 1 means; a smaller one scales each of them.
_MAX_ROTATION_RADIANS: Final = math.radians(40)
_MAX_SCALE_CHANGE: Final = 0.4
_MAX_SHIFT_SHARE: Final = 0.3
_MAX_BRIGHTNESS_LEVELS: Final = 80.0
_MAX_CONTRAST_CHANGE: Final = 0.6
_MAX_SATURATION_CHANGE: Final = 0.8
_MAX_ERASED_SIDE_SHARE: Final = 0.6
_GREY_WEIGHTS: Final = (0.299, 0.587, 0.114)


def augment_batch(images: tf.Tensor, *, strength: float, seed: tf.Tensor) -> tf.Tensor:
    """Flip, move, recolour and partly erase each image of a batch at random.

    Args:
        images: float32 (batch, height, width, 3), 0..255.
        strength: 0 changes nothing, 1 distorts strongly.
        seed: int64 (2,); the same seed gives the same changes.

    Returns:
        float32, same shape, 0..255.

    Source: the luma weights are those of ITU-R BT.601; erasing is arXiv:1708.04896.
    """
    if strength == 0:
        return images
    seeds = tf.random.split(seed, 3)
    images = _move(images, strength, seeds[0])
    images = _recolour(images, strength, seeds[1])
    return _erase(images, strength, seeds[2])


def _move(images: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(images)
    height, width = tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    draws = tf.random.stateless_uniform(tf.stack([shape[0], 5]), seed, -1.0, 1.0)
    angle = draws[:, 0] * _MAX_ROTATION_RADIANS * strength
    scale = tf.exp(draws[:, 1] * _MAX_SCALE_CHANGE * strength)
    flip = tf.where(draws[:, 4] < 0, -1.0, 1.0)
    cosine, sine = tf.cos(angle) * scale, tf.sin(angle) * scale
    # The op maps output to input positions; rotate and scale about the centre, then shift.
    center_x, center_y = (width - 1) / 2, (height - 1) / 2
    shift = _MAX_SHIFT_SHARE * strength
    offset_x = center_x - flip * cosine * center_x + sine * center_y + draws[:, 2] * shift * width
    offset_y = center_y - flip * sine * center_x - cosine * center_y + draws[:, 3] * shift * height
    zeros = tf.zeros_like(angle)
    transforms = tf.stack(
        [flip * cosine, -sine, offset_x, flip * sine, cosine, offset_y, zeros, zeros], axis=1
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _recolour(images: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(images)
    draws = tf.random.stateless_uniform(tf.stack([shape[0], 3, 1, 1]), seed, -1.0, 1.0) * strength
    brightness = draws[:, 0] * _MAX_BRIGHTNESS_LEVELS
    contrast = 1 + draws[:, 1] * _MAX_CONTRAST_CHANGE
    saturation = 1 + draws[:, 2] * _MAX_SATURATION_CHANGE
    grey = tf.tile(tf.constant(_GREY_WEIGHTS)[:, tf.newaxis], (1, 3))
    matrices = contrast * (saturation * tf.eye(3) + (1 - saturation) * grey)
    middle = 127.5
    flat = tf.reshape(images, (shape[0], -1, 3)) - middle
    return tf.reshape(tf.clip_by_value(flat @ matrices + middle + brightness, 0.0, 255.0), shape)


def _erase(images: tf.Tensor, strength: float, seed: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(images)
    draws = tf.random.stateless_uniform(tf.stack([shape[0], 4]), seed)
    rows = _is_inside(shape[1], draws[:, 0], draws[:, 1] * _MAX_ERASED_SIDE_SHARE * strength)
    columns = _is_inside(shape[2], draws[:, 2], draws[:, 3] * _MAX_ERASED_SIDE_SHARE * strength)
    is_erased = rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
    return tf.where(is_erased, tf.reduce_mean(images, axis=(1, 2), keepdims=True), images)


def _is_inside(size: tf.Tensor, center: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    positions = (tf.range(size, dtype=tf.float32) + 0.5) / tf.cast(size, tf.float32)
    return tf.abs(positions[tf.newaxis, :] - center[:, tf.newaxis]) < share[:, tf.newaxis] / 2
