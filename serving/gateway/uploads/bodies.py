"""Reads the pictures out of a request, never more of it than is allowed, and never to disk."""

from typing import Final, NoReturn

from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from serving.gateway.errors import GatewayError, RequestTimeoutError, UnsupportedTypeError
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.body import CLOSE, Body, body_time_limit
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


async def read_uploads(request: Request, limits: UploadSettings, *, many: bool) -> list[Upload]:
    """Read the pictures of a request.

    Args:
        request: a request whose body nobody has read.
        limits: what is accepted.
        many: whether it may hold more than one.

    Returns:
        At least one picture, exactly one unless `many`. Their content is not checked.

    Raises:
        GatewayError: BadRequestError for no picture, too many, or a body that cannot be parsed;
            TooLargeError for a body or a picture over the limits; UnsupportedTypeError for a body
            of another type, or a compressed one.
        RequestTimeoutError: the body came too slowly.
    """
    content_type, options = parse_options_header(request.headers.get("content-type"))
    kind = content_type.decode("latin-1").strip().lower()
    is_raw = kind.partition("/")[0] == "image" or kind == _BINARY
    most = min(limits.max_image_bytes, limits.max_body_bytes) if is_raw else limits.max_body_bytes
    body = Body(request, most)
    try:
        async with body_time_limit(limits.body_timeout_seconds):
            _check_encoding(request)
            if is_raw:
                return [Upload(await body.read(), content_type=kind)]
            if kind == _JSON:
                return read_json_images(await body.read(), limits, many=many)
            if kind == _FORM:
                form = ImageForm(options.get(b"boundary", b""), limits, many=many)
                return await _read_form(body, form)
            _refuse_type(kind)
    except RequestTimeoutError:
        raise  # who is that slow is not waited for again
    except GatewayError:
        await body.discard()
        raise


async def _read_form(body: Body, form: ImageForm) -> list[Upload]:
    async for chunk in body.chunks():
        form.feed(chunk)
    return form.finish()


def _check_encoding(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedTypeError(
            "the body is compressed",
            got=f"Content-Encoding: {encoding[:100]}",
            accepted="bodies without Content-Encoding",
            fix="Send the picture as it is; image formats are compressed already.",
            headers=CLOSE,
        )


def _refuse_type(kind: str) -> NoReturn:
    raise UnsupportedTypeError(
        "the body is of a type that is not accepted",
        got=f"Content-Type: {kind[:100]}" if kind else "no Content-Type",
        accepted=_ACCEPTED,
        fix="With curl: curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' ...",
        headers=CLOSE,
    )
