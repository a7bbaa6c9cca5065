"""Pictures in a JSON body, as base64."""

import base64
import binascii
import json
from typing import Any, Final, cast

from serving.gateway.errors import BadRequestError, TooLargeError
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.json_parts import check_parts
from serving.gateway.uploads.upload import Upload

_ONE: Final = '{"image": "<base64>"}'
_MANY: Final = '{"images": ["<base64>", ...]}'
_WHITESPACE: Final = b" \t\r\n"
_SPARE_MARKS: Final = 64


def read_json_images(body: bytes, limits: UploadSettings, *, many: bool) -> list[Upload]:
    """Read the pictures of a JSON body.

    Args:
        body: the whole body.
        limits: what is accepted.
        many: whether `images` is accepted besides `image`.

    Returns:
        At least one picture, exactly one unless `many`.

    Raises:
        BadRequestError: no JSON, another shape, or a picture that is not base64.
        TooLargeError: too many pictures.
    """
    accepted = f"{_ONE} or {_MANY}" if many else _ONE
    content = _parse(body, accepted, limits)
    encoded = _find_images(content, accepted, many=many)
    if len(encoded) > limits.max_batch_images:
        raise TooLargeError(
            f"the batch has {len(encoded)} images",
            got=f"{len(encoded)} images",
            accepted=f"1 to {limits.max_batch_images} images",
            fix="Send several batches.",
        )
    return [_decode(text, f"images[{i}]" if many else "image") for i, text in enumerate(encoded)]


def _parse(body: bytes, accepted: str, limits: UploadSettings) -> Any:
    # A request is one object of one list of strings, and base64 holds no marks.
    most = 4 * limits.max_batch_images + _SPARE_MARKS
    fix = "Send pictures as base64 strings, not as lists of numbers."
    check_parts(body, most, accepted=accepted, fix=fix)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(
            f"the body is no JSON: {error}",
            got=f"{len(body)} bytes that do not parse",
            accepted=accepted,
            fix="Correct the JSON, or send the picture itself with its Content-Type.",
        ) from error


def _find_images(content: Any, accepted: str, *, many: bool) -> list[str]:
    fields = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    images: Any = None
    if set(fields) == {"image"}:
        images = [fields["image"]]
    elif many and set(fields) == {"images"}:
        images = fields["images"]
    texts = cast("list[Any]", images) if isinstance(images, list) else []
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequestError(
            "the JSON body has another shape",
            got=_describe(content),
            accepted=accepted,
            fix="Many images go to /v1/predict:batch."
            if "images" in fields and not many
            else "Give each image as a base64 string.",
        )
    return cast("list[str]", texts)


def _describe(content: Any) -> str:
    if isinstance(content, dict):
        fields = cast("dict[str, Any]", content)
        named = [f"{str(name)[:40]!r}: {type(value).__name__}" for name, value in fields.items()]
        return f"an object of {{{', '.join(named[:5])}}}"
    return f"a JSON {type(content).__name__}"


def _decode(text: str, place: str) -> Upload:
    content_type = ""
    if text.startswith("data:"):  # what browsers make of a file
        prefix, _, text = text.partition(",")
        content_type = prefix.removeprefix("data:").partition(";")[0].strip().lower()
    try:
        # Command line tools break lines after 76 letters.
        data = base64.b64decode(text.encode("ascii").translate(None, _WHITESPACE), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise BadRequestError(
            f"{place} is not base64: {error}",
            got=f"{len(text)} letters that do not decode",
            accepted="the standard alphabet of RFC 4648, with padding",
            fix="Encode the bytes of the file, for example with `base64 -w0 photo.jpg`.",
        ) from error
    return Upload(data, content_type=content_type)
