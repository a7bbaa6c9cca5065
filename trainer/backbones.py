"""The feature extractors: pixels scaled to -1..1 become one vector per image."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import keras

from configs.errors import ConfigError
from configs.types import TrainConfig

EMBEDDING_LAYER: Final = "embedding"

_REFERENCE_MIN_SIDE_PIXELS: Final = 10
_REFERENCE_FILTERS: Final = (32, 64)
_DENSE_UNITS: Final = 128

_COMPACT_FILTERS: Final = 32
_COMPACT_MAX_FILTERS: Final = 128
_COMPACT_LAST_SIDE_PIXELS: Final = 8
_COMPACT_LARGE_SIDE_PIXELS: Final = 96
# Keras' default of 0.99 needs hundreds of steps before its statistics mean anything; a small data
# set has a few dozen steps an epoch.
_BATCH_NORM_MOMENTUM: Final = 0.9

Backbone = Callable[[Any, TrainConfig], Any]


def extract_features(pixels: Any, config: TrainConfig) -> Any:
    """Apply the backbone that the configuration names.

    Args:
        pixels: Keras tensor, float32 (batch, height, width, 3), -1..1.
        config: `backbone`, `width_multiplier` and `dropout` are used.

    Returns:
        Keras tensor (batch, features), the layer named "embedding".

    Raises:
        ConfigError: the image is too small for the backbone.
    """
    return _BACKBONES[config.backbone](pixels, config)


def _reference(pixels: Any, config: TrainConfig) -> Any:
    height, width = pixels.shape[1:3]
    if min(height, width) < _REFERENCE_MIN_SIDE_PIXELS:
        raise ConfigError(
            f"transform: images are {height}x{width} pixels, but the reference backbone needs at "
            f"least {_REFERENCE_MIN_SIDE_PIXELS} a side. Raise transform.height_pixels and "
            "transform.width_pixels, or set train.backbone=compact."
        )
    x = pixels
    for filters in _REFERENCE_FILTERS:
        x = keras.layers.Conv2D(_scale_filters(filters, config), 3, activation="relu")(x)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Dropout(config.dropout, seed=config.seed)(keras.layers.Flatten()(x))
    return keras.layers.Dense(_DENSE_UNITS, activation="relu", name=EMBEDDING_LAYER)(x)


def _compact(pixels: Any, config: TrainConfig) -> Any:
    filters = _scale_filters(_COMPACT_FILTERS, config)
    most_filters = _scale_filters(_COMPACT_MAX_FILTERS, config)
    x = _convolve(pixels, filters, stride=2)
    if min(pixels.shape[1:3]) >= _COMPACT_LARGE_SIDE_PIXELS:
        x = keras.layers.MaxPooling2D()(x)
    x = _residual_block(x, filters, stride=1)
    while min(x.shape[1:3]) > _COMPACT_LAST_SIDE_PIXELS:
        filters = min(2 * filters, most_filters)
        x = _residual_block(x, filters, stride=2)
    # Few channels but every position: products stand in the middle, and averaging over positions
    # learns several times more slowly from a few thousand images.
    x = _convolve(x, filters=_COMPACT_FILTERS, kernel_size=1)
    x = keras.layers.Dropout(config.dropout, seed=config.seed)(keras.layers.Flatten()(x))
    return keras.layers.Dense(_DENSE_UNITS, activation="relu", name=EMBEDDING_LAYER)(x)


def _residual_block(x: Any, filters: int, *, stride: int) -> Any:
    # Source: arXiv:1512.03385, with the strided shortcut averaged first as in arXiv:1812.01187.
    shortcut = x
    if stride > 1:
        shortcut = keras.layers.AveragePooling2D(stride, padding="same")(shortcut)
    if shortcut.shape[-1] != filters:
        shortcut = keras.layers.Conv2D(filters, 1, use_bias=False)(shortcut)
        shortcut = _normalize(shortcut)
    x = _convolve(x, filters, stride=stride)
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = _normalize(x)
    return keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))


def _convolve(x: Any, filters: int, *, stride: int = 1, kernel_size: int = 3) -> Any:
    x = keras.layers.Conv2D(filters, kernel_size, strides=stride, padding="same", use_bias=False)(x)
    return keras.layers.ReLU()(_normalize(x))


def _normalize(x: Any) -> Any:
    return keras.layers.BatchNormalization(momentum=_BATCH_NORM_MOMENTUM)(x)


def _scale_filters(filters: int, config: TrainConfig) -> int:
    return max(1, round(filters * config.width_multiplier))


_BACKBONES: Mapping[str, Backbone] = {"reference": _reference, "compact": _compact}
