"""Measures what an image looks like in a few numbers that statistics and monitoring can follow."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import InvalidImageError

_HASH_ROWS: Final = 8
_HASH_COLUMNS: Final = 9
_WORKING_SIZE: Final = 144  # divides into 8 rows and into 9 columns
_CELL_PIXELS: Final = _WORKING_SIZE**2 / (_HASH_ROWS * _HASH_COLUMNS)
_COLOUR_SIZE: Final = 36
_REDUCING_GAP: Final = 1.5
_MIN_STEP: Final = 1.0
_BIT_WEIGHTS: Final = np.left_shift(np.uint64(1), np.arange(64, dtype=np.uint64))[::-1]


@dataclass(frozen=True, slots=True)
class QualityMeasures:
    """Scalars of one image, taken from a copy of 144x144 pixels (saturation: 36x36).

    Attributes:
        brightness: mean luma, 0 (black) to 1 (white).
        contrast: standard deviation of luma, 0 to 0.5.
        sharpness: variance of the 4-neighbour Laplacian of luma (0..255), at least 0. Ordinary
            photos give 100 to 5,000, blurred ones less than 50. Taken at a fixed size, it says how
            much detail a picture holds whatever its resolution.
        saturation: mean distance of the strongest from the weakest channel, as a share of the
            mean strongest channel: 0 (grey) to 1.
        dhash: 64-bit perceptual hash: bit by bit, row by row, whether luma rises from one cell of
            an 8x9 grid to its right neighbour. Alike pictures differ in few bits.
    """

    brightness: float
    contrast: float
    sharpness: float
    saturation: float
    dhash: int


def measure_quality(pixels: NDArray[np.uint8]) -> QualityMeasures:
    """Measure one image.

    Args:
        pixels: uint8 (height, width, 3), 0..255, RGB, upright.

    Returns:
        Its measures.

    Raises:
        InvalidImageError: the shape or dtype is another.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise InvalidImageError(
            f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (height, width, 3). Decode "
            "the image to RGB."
        )
    return measure_picture(Image.fromarray(pixels))


def measure_picture(image: Image.Image) -> QualityMeasures:
    """Measure one image that Pillow holds.

    Args:
        image: RGB, upright, not empty.

    Returns:
        Its measures.

    Source: sharpness, Pech-Pacheco et al., ICPR 2000, doi:10.1109/ICPR.2000.903548; luma,
    ITU-R BT.601; dhash, hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html.
    """
    luma = np.asarray(_reduce(image.convert("L"), _WORKING_SIZE), dtype=np.float32)
    mean, variance = _mean_and_variance(luma)
    return QualityMeasures(
        brightness=mean / 255.0,
        contrast=math.sqrt(variance) / 255.0,
        sharpness=_variance_of_laplacian(luma),
        saturation=_saturation(np.asarray(_reduce(image, _COLOUR_SIZE))),
        dhash=_difference_hash(luma),
    )


def _reduce(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)


def _variance_of_laplacian(luma: NDArray[np.float32]) -> float:
    laplacian = luma[1:-1, 1:-1] * -4.0
    laplacian += luma[:-2, 1:-1]
    laplacian += luma[2:, 1:-1]
    laplacian += luma[1:-1, :-2]
    laplacian += luma[1:-1, 2:]
    return _mean_and_variance(laplacian)[1]


def _mean_and_variance(values: NDArray[np.float32]) -> tuple[float, float]:
    # In half the time of NumPy's own methods, which matters over millions of images.
    flat = values.ravel()
    mean = float(np.add.reduce(flat)) / flat.size
    centred = flat - np.float32(mean)
    return mean, float(np.einsum("i,i->", centred, centred)) / flat.size


def _saturation(pixels: NDArray[np.uint8]) -> float:
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    strongest = float(np.maximum(np.maximum(red, green), blue).mean())
    weakest = float(np.minimum(np.minimum(red, green), blue).mean())
    return (strongest - weakest) / strongest if strongest else 0.0


def _difference_hash(luma: NDArray[np.float32]) -> int:
    rows = np.add.reduce(luma.reshape(_HASH_ROWS, -1, _WORKING_SIZE), axis=1)
    sums = np.add.reduce(rows.reshape(_HASH_ROWS, _HASH_COLUMNS, -1), axis=2)
    # A step of one level keeps the bits of plain areas from following the noise of compression.
    rises = (sums[:, 1:] - sums[:, :-1]) > _MIN_STEP * _CELL_PIXELS
    return int(_BIT_WEIGHTS[rises.ravel()].sum())
