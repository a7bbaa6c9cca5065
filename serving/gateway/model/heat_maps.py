"""Draws what the model looked at over the picture."""

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serving.gateway.uploads.images import CheckedImage
from serving.gateway.uploads.pixels import decode_upright, open_picture

OVERLAY_SIDE_PIXELS: Final = 512
"""Longest side of an overlay."""

_MAX_OPACITY: Final = 0.7
_COLOURS: Final = np.array(
    [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float32
)
"""Dark to bright in even steps, also for the colour-blind. Source: viridis, matplotlib (CC0)."""


def draw_overlay(image: CheckedImage, heat_map: NDArray[np.float32]) -> bytes:
    """Draw a heat map over its picture; run it in a thread.

    Args:
        image: a checked picture.
        heat_map: float32 (height, width), 0..1, of the upright picture at any size.

    Returns:
        An upright PNG without metadata, of at most 512 pixels a side.
    """
    with open_picture(image.data, image.format) as file:
        picture = decode_upright(
            file, orientation=image.orientation, min_side_pixels=OVERLAY_SIDE_PIXELS
        )
    picture.thumbnail((OVERLAY_SIDE_PIXELS, OVERLAY_SIDE_PIXELS), reducing_gap=2.0)
    heat = Image.fromarray(np.nan_to_num(np.clip(heat_map, 0, 1)))
    values = np.asarray(heat.resize(picture.size, Image.Resampling.BILINEAR))
    opacity = _MAX_OPACITY * values[..., np.newaxis]
    blended = np.asarray(picture) * (1 - opacity) + _colour(values) * opacity
    file = io.BytesIO()
    Image.fromarray(blended.round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _colour(values: NDArray[np.float32]) -> NDArray[np.float32]:
    steps = np.linspace(0, 1, len(_COLOURS))
    channels = [np.interp(values, steps, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)
