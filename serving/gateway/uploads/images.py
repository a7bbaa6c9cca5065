"""Checks a picture before a model sees it, and measures it as ExampleGen does."""

import dataclasses
import io
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from PIL import Image
from PIL.ImageFile import ImageFile as PillowFile

from data.images import ImageProbe
from data.quality import QualityMeasures, measure_picture
from serving.gateway.errors import OverloadedError
from serving.gateway.settings import REVIEW_SIDE_PIXELS, UploadSettings
from serving.gateway.uploads.checks import (
    check_layout,
    check_png_data,
    check_readable,
    header_kinds,
    read_header,
    recognise,
    refuse_damaged,
    refuse_kinds,
)
from serving.gateway.uploads.disguises import check_disguise
from serving.gateway.uploads.layouts import Layout, read_layout
from serving.gateway.uploads.pixels import (
    DAMAGES,
    buffered_pixels,
    decode_upright,
    find_kinds,
    open_picture,
)
from serving.gateway.uploads.upload import Upload

MEASURED_SIDE_PIXELS: Final = 288
"""ExampleGen decodes large JPEGs to this; quality is measured on a copy half as large."""

QUICK_BYTES: Final = 1 << 15
"""Below this, checking a header takes less than handing it to a thread and back."""
QUICK_PIXELS: Final = 1 << 16
"""The same for pixels, 256x256: about a millisecond for most files, at most three."""

_LARGE_PIXELS: Final = 8_000_000
_LARGE_WAIT_SECONDS: Final = 2.0
# A picture of 50 million pixels takes 400 MB while it is measured; two at a time are enough.
_large_pictures = threading.BoundedSemaphore(2)


class Measurement:
    """Measures of a picture, taken when they are first asked for.

    Args:
        pixels: RGB, upright; kept until then.
    """

    def __init__(self, pixels: Image.Image) -> None:
        self._known: Image.Image | QualityMeasures = pixels

    def take(self) -> QualityMeasures:
        """Measure the picture, or tell what was measured.

        Returns:
            The measures, the same as ExampleGen's.
        """
        if isinstance(self._known, Image.Image):
            self._known = measure_picture(self._known)
        return self._known


@dataclasses.dataclass(frozen=True, slots=True)
class CheckedImage:
    """A picture that the model can be given as it is.

    Attributes:
        data: bytes of the file, as uploaded.
        format: `jpeg`, `png`, `bmp`, `gif` or `webp`.
        width: columns as stored, before orientation.
        height: rows as stored, before orientation.
        channels: colour and alpha channels, 1..4; a palette counts as 3.
        orientation: EXIF orientation, 1..8.
        measurement: what `quality` tells.
    """

    data: bytes
    format: str
    width: int
    height: int
    channels: int
    orientation: int
    measurement: Measurement = dataclasses.field(compare=False, repr=False)

    @property
    def quality(self) -> QualityMeasures:
        """Tell what the upright picture looks like, in numbers.

        Returns:
            Its measures, the same as ExampleGen's.
        """
        return self.measurement.take()


@dataclasses.dataclass(frozen=True, slots=True)
class CheckedHeader:
    """A picture whose pixels are not decoded yet.

    Attributes:
        upload: the picture as it came in.
        format: `jpeg`, `png`, `bmp`, `gif` or `webp`.
        layout: where the parts of the file lie.
        probe: what its header says.
    """

    upload: Upload
    format: str
    layout: Layout
    probe: ImageProbe

    @property
    def is_quick(self) -> bool:
        """Tell whether the pixels may be checked where others wait meanwhile.

        Returns:
            Whether there are at most `QUICK_PIXELS`.
        """
        return self.probe.width * self.probe.height <= QUICK_PIXELS


def check_image(upload: Upload, limits: UploadSettings) -> CheckedImage:
    """Check one picture and measure it; takes milliseconds of a core, so run it in a thread.

    Args:
        upload: the picture as it came in.
        limits: what is accepted.

    Returns:
        The picture and what was found out about it.

    Raises:
        GatewayError: as `check_header` and `check_pixels`.
    """
    return check_pixels(check_header(upload, limits), limits)


def check_header(upload: Upload, limits: UploadSettings) -> CheckedHeader:
    """Check what can be told without decoding; the time grows with the number of bytes.

    Args:
        upload: the picture as it came in.
        limits: what is accepted.

    Returns:
        The picture and what its header says.

    Raises:
        BadRequestError: the file is empty.
        TooLargeError: too many bytes, pixels or metadata.
        UnsupportedTypeError: no image, or a format or name that is not accepted.
        UnprocessableError: an image that is cut off, damaged, refused by the settings, unreadable
            for the model or something else besides.
    """
    data, subject = upload.data, upload.subject
    image_format = recognise(upload, limits)
    layout = read_layout(data, image_format)
    probe = read_header(data, subject, limits)
    check_layout(data, probe, layout, subject, limits)
    refuse_kinds(header_kinds(upload, probe), subject, limits)
    check_readable(data, probe, subject)
    check_disguise(data, image_format, layout, subject=subject)
    return CheckedHeader(upload, image_format, layout, probe)


def check_pixels(
    header: CheckedHeader, limits: UploadSettings, *, measure_later: bool = False
) -> CheckedImage:
    """Decode a picture and measure it; the time grows with the number of pixels.

    Args:
        header: the picture.
        limits: what is accepted.
        measure_later: leave the measures, half of the work, to whoever asks for them first; until
            then the pixels stay in memory.

    Returns:
        The picture and what was found out about it.

    Raises:
        UnprocessableError: the pixels are damaged or refused by the settings.
        OverloadedError: too many large pictures at once.
    """
    data, subject, probe = header.upload.data, header.upload.subject, header.probe
    try:
        with open_picture(data, header.format) as image:
            refuse_kinds(find_kinds(image, data), subject, limits)
            with _turn_of(image, MEASURED_SIDE_PIXELS):
                check_png_data(data, header.layout, subject)
                pixels = decode_upright(
                    image, orientation=probe.orientation, min_side_pixels=MEASURED_SIDE_PIXELS
                )
                measurement = Measurement(pixels)
                if not measure_later:
                    measurement.take()
    except DAMAGES as error:
        refuse_damaged(subject, f"the {header.format} pixels are damaged: {error}", error)
    return CheckedImage(
        data=data,
        format=header.format,
        width=probe.width,
        height=probe.height,
        channels=probe.channels,
        orientation=probe.orientation,
        measurement=measurement,
    )


def strip_metadata(image: CheckedImage, *, max_side_pixels: int = REVIEW_SIDE_PIXELS) -> bytes:
    """Write a picture anew, with nothing but its pixels; run it in a thread.

    Args:
        image: a checked picture.
        max_side_pixels: longest side of the result; a larger picture is scaled down.

    Returns:
        An upright RGB PNG without any metadata.
    """
    with (
        open_picture(image.data, image.format) as picture,
        _turn_of(picture, max_side_pixels),
    ):
        pixels = decode_upright(
            picture, orientation=image.orientation, min_side_pixels=max_side_pixels
        )
    pixels.thumbnail((max_side_pixels, max_side_pixels), Image.Resampling.BOX, reducing_gap=2.0)
    # What Pillow would write along, such as a colour profile, sits in `info`.
    pixels.info.clear()
    file = io.BytesIO()
    # Level 1: a third of the time of the usual 6, and a photo becomes 4 % larger.
    pixels.save(file, "PNG", compress_level=1)
    return file.getvalue()


@contextmanager
def _turn_of(image: PillowFile, min_side_pixels: int) -> Generator[None]:
    if buffered_pixels(image, min_side_pixels=min_side_pixels) < _LARGE_PIXELS:
        yield
        return
    if not _large_pictures.acquire(timeout=_LARGE_WAIT_SECONDS):
        raise OverloadedError(
            f"other large pictures are being read; this one has {image.width}x{image.height}",
            accepted=f"pictures below {_LARGE_PIXELS} pixels, at any time",
            fix="Try again, or make the picture smaller.",
            headers={"Retry-After": "2"},
        )
    try:
        yield
    finally:
        _large_pictures.release()
