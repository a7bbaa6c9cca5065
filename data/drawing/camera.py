"""Takes a picture of a scene: exposure, lens, sensor, and the file the camera writes."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_NOISE_TILE: Final = 128
_ORIENTATION_TAG: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How the pixels are stored for each orientation; a viewer that obeys the tag turns them back."""


@dataclass(frozen=True)
class Camera:
    """How far the pictures differ from the ordinary ones.

    Attributes:
        darkness: 0 ordinary light, 1 very dark.
        blur: 0 ordinary sharpness, 1 very blurred.
        new_camera: 0 the usual camera, 1 strong cast, vignette and noise.
    """

    darkness: float
    blur: float
    new_camera: float

    def take(self, scene: NDArray[np.float32], rng: np.random.Generator) -> Image.Image:
        """Expose, blur and add noise.

        Args:
            scene: float32 (height, width, 3), 0..1.
            rng: chooses exposure and noise.

        Returns:
            RGB image of the same size.
        """
        height, width, _ = scene.shape
        exposure = rng.uniform(0.62, 1.2) * (1 - 0.85 * self.darkness)
        cast = rng.uniform(0.93, 1.07, 3) * (1 - self.new_camera * np.array([0.0, 0.12, 0.4]))
        light = self._vignette(height, width, rng) * exposure
        pixels = scene * light[..., None] * cast.astype(np.float32)
        noise = rng.uniform(0.004, 0.022) + 0.07 * self.new_camera
        pixels += _noise(height, width, rng) * np.float32(noise)
        image = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
        radius = rng.uniform(0.0, 0.0035) * max(scene.shape) + 0.03 * self.blur * max(scene.shape)
        return image.filter(ImageFilter.GaussianBlur(radius)) if radius > 0.3 else image

    def _vignette(self, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
        down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        slope_down, slope_across = rng.uniform(-0.15, 0.15, 2).astype(np.float32)
        fall = np.float32(rng.uniform(0.0, 0.1) + 0.35 * self.new_camera)
        return 1 + slope_down * down + slope_across * across - fall * (down**2 + across**2) / 2


def write_file(image: Image.Image, rng: np.random.Generator) -> tuple[bytes, str]:
    """Encode a picture the way people's files vary.

    Args:
        image: RGB image.
        rng: chooses format, quality, grey and orientation.

    Returns:
        The bytes, and the ending `.jpg` or `.png`. About 8 % are PNG, 6 % grey, and 8 % are stored
        turned, with the EXIF orientation that turns them back.
    """
    if rng.random() < 0.06:
        image = image.convert("L")
    buffer = io.BytesIO()
    if rng.random() < 0.08:
        image.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue(), ".png"
    quality = int(rng.integers(40, 96))
    exif = Image.Exif()
    if rng.random() < 0.09:
        orientation = int(rng.choice(list(_TURNS)))
        image = image.transpose(_TURNS[orientation])
        exif[_ORIENTATION_TAG] = orientation
    image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue(), ".jpg"


def _noise(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    # One tile, repeated: fresh noise for every pixel would cost more than the drawing.
    tile = rng.standard_normal((_NOISE_TILE, _NOISE_TILE, 3), dtype=np.float32)
    repeats = (-(-height // _NOISE_TILE), -(-width // _NOISE_TILE), 1)
    return np.tile(tile, repeats)[:height, :width]
