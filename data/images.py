"""Reads image headers: what a file is, how large it is, and why it cannot be used."""

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile as PillowFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from configs.errors import InvalidImageError
from data.buckets import BucketPath
from data.gif import read_gif_header
from data.places import Place
from data.signatures import ACCEPTED_FORMATS, describe_content, find_format

_READERS: Final[dict[str, type[PillowFile]]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "bmp": BmpImageFile,
    "webp": WebPImageFile,
}
# Pillow's classes are used directly: Image.open has a process-wide limit on pixels of its own.
_CHANNELS: Final = {"1": 1, "L": 1, "I": 1, "I;16": 1, "LA": 2, "P": 3}
DAMAGES: Final = (
    SyntaxError,
    OSError,
    ValueError,
    OverflowError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    struct.error,
    zlib.error,
)
"""What Pillow raises on bytes that are no proper image."""
_ORIENTATION_TAG: Final = 0x0112
_INTEGER_TYPES: Final = {3: "H", 4: "I"}


@dataclass(frozen=True, slots=True)
class ImageProbe:
    """What the header of an image says.

    Attributes:
        format: `jpeg`, `png`, `bmp`, `gif` or `webp`.
        height: rows as stored, before orientation.
        width: columns as stored, before orientation.
        channels: colour and alpha channels, 1..4; a palette counts as 3.
        orientation: EXIF orientation, 1..8; 1 when there is none.
        frames: pictures in the file, at least 1; only the first one is used.
    """

    format: str
    height: int
    width: int
    channels: int
    orientation: int
    frames: int


def read_image_file(path: Place, *, max_bytes: int) -> bytes:
    """Read the bytes of a file that should be an image.

    Args:
        path: path of the file, on this machine or in a bucket.
        max_bytes: largest accepted file; of a larger one no more is read.

    Returns:
        The file's bytes.

    Raises:
        InvalidImageError: the file is gone, unreadable, no regular file or too large.
    """
    try:
        if isinstance(path, BucketPath):
            return _read_object(path, max_bytes)
        if not path.is_file():
            raise InvalidImageError("the file is gone, or a link that leads nowhere. Put it back.")
        _check_file_size(path.stat().st_size, max_bytes)
        return path.read_bytes()
    except OSError as error:
        raise InvalidImageError(
            f"the file cannot be read: {error.strerror}. Make it readable for this user."
        ) from error


def _read_object(path: BucketPath, max_bytes: int) -> bytes:
    # Asking for the size first would double the number of requests.
    content = _LimitedBuffer(max_bytes)
    path.copy_to(content)
    return content.getvalue()


class _LimitedBuffer(io.BytesIO):
    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes

    def write(self, data: Any, /) -> int:
        _check_file_size(self.tell() + len(data), self._max_bytes, prefix="at least ")
        return super().write(data)


def _check_file_size(size: int, max_bytes: int, *, prefix: str = "") -> None:
    if size > max_bytes:
        raise InvalidImageError(
            f"the file has {prefix}{size} bytes, expected at most {max_bytes}. Make it smaller, or "
            "raise data.max_image_bytes."
        )


def probe_image(data: bytes, *, max_pixels: int) -> ImageProbe:
    """Read the header of an image; its pixels are never decoded.

    Args:
        data: bytes of the whole file.
        max_pixels: most pixels accepted in one frame.

    Returns:
        Format, size and the like.

    Raises:
        InvalidImageError: the bytes are empty, no image, an image of another format, have a
            damaged header, or promise more than `max_pixels` pixels.
    """
    image_format = find_format(data)
    if image_format is None:
        raise InvalidImageError(
            f"{describe_content(data)}, expected an image ({', '.join(ACCEPTED_FORMATS)})."
        )
    try:
        probe = _probe_gif(data) if image_format == "gif" else _probe_by_pillow(data, image_format)
    except DAMAGES as error:
        raise InvalidImageError(
            f"the {image_format} header is damaged: {_reason(error)}. Copy or export it again."
        ) from error
    return _check_size(probe, max_pixels)


def _probe_gif(data: bytes) -> ImageProbe:
    header = read_gif_header(data)
    return ImageProbe("gif", header.height, header.width, _CHANNELS["P"], 1, header.frames)


def _probe_by_pillow(data: bytes, image_format: str) -> ImageProbe:
    with _READERS[image_format](io.BytesIO(data)) as image:
        return ImageProbe(
            format=image_format,
            height=image.height,
            width=image.width,
            channels=_CHANNELS.get(image.mode, len(image.getbands())),
            orientation=_read_orientation(image.info.get("exif", b"")),
            frames=max(1, int(getattr(image, "n_frames", 1))),
        )


def _check_size(probe: ImageProbe, max_pixels: int) -> ImageProbe:
    pixels = probe.width * probe.height
    if pixels == 0:
        raise InvalidImageError(
            f"the image has {probe.width}x{probe.height} pixels, expected at least 1x1. Export it "
            "again."
        )
    if pixels > max_pixels:
        raise InvalidImageError(
            f"the image has {probe.width}x{probe.height} = {pixels} pixels, expected at most "
            f"{max_pixels} (a decompression bomb?). Make it smaller, or raise "
            "data.max_image_pixels."
        )
    return probe


def _read_orientation(exif: bytes) -> int:
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for index in range(count):
            entry = start + 2 + 12 * index
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == _ORIENTATION_TAG and kind in _INTEGER_TYPES:
                (value,) = struct.unpack_from(order + _INTEGER_TYPES[kind], tiff, entry + 8)
                return value if 1 <= value <= 8 else 1
    except struct.error:  # cut off: as good as no tag
        return 1
    return 1


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    # Pillow's words for a header without mode or with a side of 0 pixels.
    if not text or "not identified" in text:
        return "it gives no width and height above 0"
    return text
