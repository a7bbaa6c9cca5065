"""Bytes become pixels the way the model makes them, as far as measures and reviewers can tell.

The model's own decoder is TensorFlow and stays inside the SavedModel. This one is Pillow; it makes
the same decisions (`transform/image_ops.py` says why): alpha is dropped, 16-bit channels keep their
high byte, of an animation the first frame counts, large JPEGs are scaled down while decoding.
"""

import io
from typing import Final

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile as PillowFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from data.images import DAMAGES as FILE_DAMAGES
from serving.gateway.settings import PictureKind

DAMAGES: Final = (*FILE_DAMAGES, Image.DecompressionBombError)
"""What Pillow raises on bytes that are no proper image, or too large a one."""

_FILES: Final[dict[str, type[PillowFile]]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "bmp": BmpImageFile,
    "gif": GifImageFile,
    "webp": WebPImageFile,
}
_PNG_DEPTH_OFFSET: Final = 24
_MANY_BITS: Final = 16
_SHRINK_FACTORS: Final = (1, 2, 4, 8)
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_picture(data: bytes, image_format: str) -> PillowFile:
    """Read the header of a picture.

    Args:
        data: bytes of the whole file.
        image_format: what its first bytes say.

    Returns:
        An image whose pixels are not decoded yet, to be used in a `with` statement. A damaged
        header raises one of `DAMAGES`.
    """
    return _FILES[image_format](io.BytesIO(data))


def find_kinds(image: PillowFile, data: bytes) -> set[PictureKind]:
    """Tell what is unusual about a picture.

    Args:
        image: from `open_picture`, not decoded yet.
        data: bytes of its file.

    Returns:
        `cmyk`, `16-bit` and `alpha`, as far as they apply.
    """
    kinds: set[PictureKind] = set()
    if image.mode == "CMYK":
        kinds.add("cmyk")
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        kinds.add("alpha")
    if isinstance(image, PngImageFile) and data[_PNG_DEPTH_OFFSET] == _MANY_BITS:
        kinds.add("16-bit")
    return kinds


def buffered_pixels(image: PillowFile, *, min_side_pixels: int) -> int:
    """Tell how many pixels decoding will hold in memory.

    Args:
        image: from `open_picture`, not decoded yet.
        min_side_pixels: as for `decode_upright`.

    Returns:
        The pixels of the picture, or of the scaled one where the rest never exists.
    """
    pixels = image.width * image.height
    # A progressive JPEG is kept whole, because every scan refines all of it.
    if not isinstance(image, JpegImageFile) or image.info.get("progressive"):
        return pixels
    factors = [factor for factor in _SHRINK_FACTORS if min(image.size) >= factor * min_side_pixels]
    return pixels // max(factors, default=1) ** 2


def decode_upright(image: PillowFile, *, orientation: int, min_side_pixels: int) -> Image.Image:
    """Decode a picture and turn it upright.

    Args:
        image: from `open_picture`, not decoded yet.
        orientation: EXIF orientation, 1..8.
        min_side_pixels: a JPEG may come out 2, 4 or 8 times smaller as long as its shorter side
            keeps this many pixels.

    Returns:
        RGB, without metadata. Damaged pixels raise one of `DAMAGES`.
    """
    if isinstance(image, JpegImageFile):
        image.draft("RGB", (min_side_pixels, min_side_pixels))
    rgb = _decode_gif(image) if isinstance(image, GifImageFile) else _decode(image)
    return rgb.transpose(_TURNS[orientation]) if orientation in _TURNS else rgb


def _decode(image: PillowFile) -> Image.Image:
    image.load()
    if image.mode.startswith("I"):  # 16 bits of grey
        high = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return Image.fromarray(high).convert("RGB")
    image.info.pop("transparency", None)  # Pillow would warn that it is dropped
    return image.convert("RGB")


def _decode_gif(image: GifImageFile) -> Image.Image:
    # TensorFlow gives a picture of the first frame's size, black where the frame is clear. A frame
    # that is offset on its screen is shifted by as much, and what sticks out is lost.
    left, top, right, bottom = image.tile[0].extents or (0, 0, *image.size)
    image.load()
    clear = image.info.pop("transparency", None)
    pixels = np.asarray(image.convert("RGB"))[top:bottom, left:right].copy()
    if clear is not None:
        pixels[np.asarray(image)[top:bottom, left:right] == clear] = 0
    shifted = np.zeros_like(pixels)
    height, width = pixels.shape[:2]
    shifted[top:, left:] = pixels[: max(0, height - top), : max(0, width - left)]
    return Image.fromarray(shifted)
