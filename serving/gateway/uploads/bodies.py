"""Reads the pictures out of a request, never more of it than is allowed, and never to disk."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from serving.gateway.errors import (
    BadRequestError,
    RequestTimeoutError,
    TooLargeError,
    UnsupportedTypeError,
)
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.image_forms import ImageForm
from serving.gateway.uploads.image_json import read_json_images
from serving.gateway.uploads.upload import Upload

_ACCEPTED: Final = (
    "an image as the body (Content-Type: image/jpeg or the like), multipart/form-data with a "
    'field `image`, or JSON {"image": "<base64>"}'
)
_BINARY: Final = "application/octet-stream"
_JSON: Final = "application/json"
_FORM: Final = "multipart/form-data"
# What is left of a refused body is not read, so the connection cannot be used again.
_CLOSE: Final = {"Connection": "close"}


async def read_uploads(request: Request, limits: UploadSettings, *, many: bool) -> list[Upload]:
    """Read the pictures of a request.

    Args:
        request: a request whose body nobody has read.
        limits: what is accepted.
        many: whether it may hold more than one.

    Returns:
        At least one picture, exactly one unless `many`. Their content is not checked.

    Raises:
        BadRequestError: no picture, too many, or a body that cannot be parsed.
        RequestTimeoutError: the body came too slowly.
        TooLargeError: the body or a picture is too large.
        UnsupportedTypeError: a body of another type, or a compressed one.
    """
    content_type, options = _content_type(request)
    is_raw = content_type.startswith("image/") or content_type == _BINARY
    most = min(limits.max_image_bytes, limits.max_body_bytes) if is_raw else limits.max_body_bytes
    _check_encoding(request)
    try:
        async with asyncio.timeout(limits.body_timeout_seconds):
            chunks = _read_chunks(request, most)
            if is_raw:
                return [Upload(await _join(chunks), content_type=content_type)]
            if content_type == _JSON:
                return read_json_images(await _join(chunks), limits, many=many)
            if content_type == _FORM:
                form = ImageForm(options.get(b"boundary", b""), limits, many=many)
                async for chunk in chunks:
                    form.feed(chunk)
                return form.finish()
    except TimeoutError as error:
        raise RequestTimeoutError(
            "the body did not arrive in time",
            got=f"an unfinished body after {limits.body_timeout_seconds:g} s",
            accepted=f"a whole body within {limits.body_timeout_seconds:g} s",
            fix="Send a smaller picture, or use a faster connection.",
            headers=_CLOSE,
        ) from error
    except ClientDisconnect as error:
        raise BadRequestError("the connection was closed before the body was whole") from error
    raise UnsupportedTypeError(
        "the body is of a type that is not accepted",
        got=f"Content-Type: {content_type[:100]}" if content_type else "no Content-Type",
        accepted=_ACCEPTED,
        fix="With curl: curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' ...",
        headers=_CLOSE,
    )


def _content_type(request: Request) -> tuple[str, dict[bytes, bytes]]:
    name, options = parse_options_header(request.headers.get("content-type"))
    return name.decode("latin-1").strip().lower(), options


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedTypeError(
            "the body is compressed",
            got=f"Content-Encoding: {encoding[:100]}",
            accepted="bodies without Content-Encoding",
            fix="Send the picture as it is; image formats are compressed already.",
            headers=_CLOSE,
        )


async def _read_chunks(request: Request, most: int) -> AsyncIterator[bytes]:
    announced = request.headers.get("content-length", "0")
    if not (announced.isascii() and announced.isdigit()):
        raise BadRequestError(
            "Content-Length is no number",
            got=announced[:100],
            accepted="a number of bytes",
            fix="Let the client library set it.",
            headers=_CLOSE,
        )
    if len(announced) > len(str(most)) or int(announced) > most:
        raise _too_large(f"{announced[:30]} bytes", most)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise _too_large(f"more than {most} bytes", most)
        yield chunk


async def _join(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def _too_large(got: str, most: int) -> TooLargeError:
    return TooLargeError(
        f"the body has {got}",
        got=got,
        accepted=f"at most {most} bytes",
        fix="Make the picture smaller, or send fewer at once.",
        headers=_CLOSE,
    )
