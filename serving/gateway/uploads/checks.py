"""The reasons why a picture is refused before it is decoded; `images.py` asks them in order."""

import sys
from pathlib import PurePath
from typing import Final, NoReturn

from PIL import Image

from configs.errors import InvalidImageError
from data.images import ImageProbe, probe_image
from data.signatures import ACCEPTED_FORMATS, describe_content, find_format
from serving.gateway.errors import (
    BadRequestError,
    TooLargeError,
    UnprocessableError,
    UnsupportedTypeError,
)
from serving.gateway.settings import PictureKind, UploadSettings
from serving.gateway.uploads.layouts import Layout
from serving.gateway.uploads.png_data import are_sums_right, inflated_bytes, promised_bytes
from serving.gateway.uploads.upload import Upload

_FORMATS: Final = ", ".join(ACCEPTED_FORMATS)
_WRITE_AGAIN: Final = "Open the picture and save it again, or upload the original file."
_SHRINK: Final = "Make the picture smaller; the model looks at a few hundred pixels a side."
_CLAIMS: Final = {
    "jpg": "jpeg",
    "jpe": "jpeg",
    "jfif": "jpeg",
    "pjpeg": "jpeg",
    "apng": "png",
    "dib": "bmp",
    "x-ms-bmp": "bmp",
    "application/octet-stream": "",
}
_MODEL_BMP_BITS: Final = {8, 24, 32}
_BMP_INFO_HEADER_BYTES: Final = 40
_BMP_BIT_FIELDS: Final = 3
_WEBP_ANIMATION_FLAG: Final = 2


def recognise(upload: Upload, limits: UploadSettings) -> str:
    """Find out what a file is by its content.

    Args:
        upload: the picture as it came in.
        limits: what is accepted.

    Returns:
        Its format, one of `ACCEPTED_FORMATS`.

    Raises:
        BadRequestError: the file is empty.
        TooLargeError: it has too many bytes.
        UnsupportedTypeError: it is something else.
    """
    data, subject = upload.data, upload.subject
    if not data:
        raise BadRequestError(
            f"{subject} is empty",
            got="0 bytes",
            accepted=f"an image ({_FORMATS})",
            fix="Send the bytes of the file.",
        )
    if len(data) > limits.max_image_bytes:
        raise TooLargeError(
            f"{subject} has {len(data)} bytes",
            got=f"{len(data)} bytes",
            accepted=f"at most {limits.max_image_bytes} bytes",
            fix=_SHRINK,
        )
    image_format = find_format(data)
    if image_format is None:
        content = describe_content(data).removeprefix("the file ")
        raise UnsupportedTypeError(
            f"{subject} {content}, not an image of an accepted format",
            got=content,
            accepted=_FORMATS,
            fix="Convert it to JPEG or PNG. The content decides, not the name.",
        )
    return image_format


def read_header(data: bytes, subject: str, limits: UploadSettings) -> ImageProbe:
    """Read size, orientation and frames; a damaged header raises UnprocessableError.

    Args:
        data: bytes of the file.
        subject: what messages call the picture.
        limits: what is accepted.

    Returns:
        What the header says.

    Raises:
        TooLargeError: it promises too many pixels.
    """
    try:
        probe = probe_image(data, max_pixels=sys.maxsize)
    except InvalidImageError as error:
        refuse_damaged(subject, str(error).split(". ", maxsplit=1)[0].rstrip("."), error)
    except Image.DecompressionBombError as error:
        refuse_damaged(subject, f"the header is damaged: {error}", error)
    pixels = probe.width * probe.height
    if pixels > limits.max_pixels:
        raise TooLargeError(
            f"{subject} has {probe.width}x{probe.height} pixels",
            got=f"{pixels} pixels",
            accepted=f"at most {limits.max_pixels} pixels",
            fix=_SHRINK,
        )
    return probe


def check_layout(
    data: bytes, probe: ImageProbe, layout: Layout, subject: str, limits: UploadSettings
) -> None:
    """Refuse what is cut off or carries too much besides the picture.

    Args:
        data: bytes of the file.
        probe: what the header says.
        layout: where its parts lie.
        subject: what messages call the picture.
        limits: what is accepted.

    Raises:
        TooLargeError: too much metadata.
        UnprocessableError: the file ends before its end mark.
    """
    if layout.metadata_bytes > limits.max_metadata_bytes:
        raise TooLargeError(
            f"{subject} carries {layout.metadata_bytes} bytes of metadata",
            got=f"{layout.metadata_bytes} bytes of metadata",
            accepted=f"at most {limits.max_metadata_bytes} bytes of metadata",
            fix="Save the picture without metadata.",
        )
    if layout.end is None:
        raise UnprocessableError(
            f"{subject} is cut off: the {probe.format} file ends before its end mark",
            got=f"{len(data)} bytes of a longer file",
            accepted="whole files",
            fix="Upload it again; if that does not help, open the picture and save it again.",
        )


def header_kinds(upload: Upload, probe: ImageProbe) -> set[PictureKind]:
    """Tell what is unusual about a picture before it is opened.

    Args:
        upload: the picture as it came in.
        probe: what its header says.

    Returns:
        `animated` and `mislabelled`, as far as they apply.
    """
    kinds: set[PictureKind] = set()
    if probe.frames > 1:
        kinds.add("animated")
    suffix = PurePath(upload.name).suffix.lower().removeprefix(".")
    claims = (suffix, upload.content_type.lower().removeprefix("image/"))
    if any(_CLAIMS.get(claim, claim) not in {"", probe.format} for claim in claims):
        kinds.add("mislabelled")
    return kinds


def refuse_kinds(kinds: set[PictureKind], subject: str, limits: UploadSettings) -> None:
    """Refuse the kinds of picture that the settings name.

    Args:
        kinds: what is unusual about the picture.
        subject: what messages call it.
        limits: what is accepted.

    Raises:
        UnsupportedTypeError: name or content type say another format than the content.
        UnprocessableError: another kind that is refused.
    """
    for kind in sorted(kinds & limits.refused):
        error = UnsupportedTypeError if kind == "mislabelled" else UnprocessableError
        raise error(
            f"{subject} is {kind}, and such pictures are refused here",
            got=f"a picture that is {kind}",
            accepted=f"pictures that are not {', '.join(sorted(limits.refused))}",
            fix="Save it as an ordinary JPEG or PNG, named after its format.",
        )


def check_readable(data: bytes, probe: ImageProbe, subject: str) -> None:
    """Refuse what the decoder inside the model cannot read.

    Args:
        data: bytes of the file.
        probe: what its header says.
        subject: what messages call the picture.

    Raises:
        UnprocessableError: an animated WebP or a rare BMP.
    """
    # The decoder inside the model has limits of its own; `transform/decoders.py` says why.
    problem = ""
    if probe.format == "webp" and data[12:16] == b"VP8X" and data[20] & _WEBP_ANIMATION_FLAG:
        problem = "an animated webp"
    elif probe.format == "bmp" and not _is_readable_bmp(data):
        problem = "a bmp of a rare kind"
    if problem:
        raise UnprocessableError(
            f"{subject} is {problem}, which the model cannot read",
            got=problem,
            accepted="still webp; bmp of 8, 24 or 32 bits a pixel, not compressed",
            fix="Save it as JPEG or PNG.",
        )


def _is_readable_bmp(data: bytes) -> bool:
    header_bytes = int.from_bytes(data[14:18], "little")
    bits = int.from_bytes(data[28:30], "little")
    compression = int.from_bytes(data[30:34], "little")
    is_plain = compression == 0 and bits in _MODEL_BMP_BITS
    is_bit_fields = compression == _BMP_BIT_FIELDS and bits == max(_MODEL_BMP_BITS)
    return header_bytes >= _BMP_INFO_HEADER_BYTES and (is_plain or is_bit_fields)


def check_png_data(data: bytes, layout: Layout, subject: str) -> None:
    """Refuse a PNG whose data is damaged, or goes on after its last pixel.

    Args:
        data: bytes of the file.
        layout: where its parts lie.
        subject: what messages call the picture.

    Raises:
        UnprocessableError: the data inflates to more than the header promises.
        ValueError: a check sum is wrong.
    """
    if not layout.pixels or layout.end is None:
        return
    if not are_sums_right(data, layout.pixels, layout.end):
        raise ValueError("a check sum is wrong")
    promised = promised_bytes(data)
    if inflated_bytes(data, layout.pixels, most=promised) > promised:
        raise UnprocessableError(
            f"{subject} inflates to more than the {promised} bytes that its header promises "
            "(a decompression bomb?)",
            got="compressed data beyond the last pixel",
            accepted="as much data as the header promises",
            fix=_WRITE_AGAIN,
        )


def refuse_damaged(subject: str, problem: str, error: BaseException) -> NoReturn:
    """Refuse a picture that cannot be read.

    Args:
        subject: what messages call the picture.
        problem: what is wrong with it.
        error: what the decoder said.

    Raises:
        UnprocessableError: always.
    """
    raise UnprocessableError(
        f"{subject} cannot be read: {problem}",
        got="a damaged file",
        accepted=f"an image ({_FORMATS})",
        fix=_WRITE_AGAIN,
    ) from error
