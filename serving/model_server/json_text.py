"""JSON text <-> Python: orjson where it is exact, the standard library where NaN comes in."""

import json
import re
from typing import Any, Final

import numpy as np
import orjson

from serving.model_server.errors import InvalidArgumentError

_MAX_DEBUG_CHARACTERS: Final = 256
_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LEADING_SPACE: Final = re.compile(r"[ \t\n\r]*")
# What rapidjson, TF Serving's parser, says where Python's says the key.
_PARSE_ERRORS: Final = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or } after an object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_DTYPES_OF_JSON: Final = "fiub"
_FLOAT32_BYTES: Final = np.dtype(np.float32).itemsize


def parse_json(body: bytes) -> Any:
    """Parse a request body as TF Serving does: NaN and Infinity are numbers, a tail is ignored.

    Args:
        body: UTF-8 text.

    Returns:
        Dicts, lists, str, int, float, bool, None.

    Raises:
        InvalidArgumentError: the text is not JSON.
    """
    if not body:
        raise InvalidArgumentError("JSON Parse error: The document is empty")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_leniently(body)


def _parse_leniently(body: bytes) -> Any:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"JSON Parse error: Invalid encoding in string. at offset: {error.start}"
        ) from error
    start = _LEADING_SPACE.match(text)
    try:
        value = json.JSONDecoder().raw_decode(text, start.end() if start else 0)[0]
        if _SURROGATE_ESCAPE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except json.JSONDecodeError as error:
        reason = next((v for k, v in _PARSE_ERRORS.items() if error.msg.startswith(k)), error.msg)
        raise InvalidArgumentError(f"JSON Parse error: {reason} at offset: {error.pos}") from error
    except UnicodeEncodeError as error:  # half a pair is no text: no message could carry it
        raise InvalidArgumentError(
            "JSON Parse error: The surrogate pair in string is invalid."
        ) from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; 5,000 brackets
        raise InvalidArgumentError(f"JSON Parse error: Invalid value. ({error})") from error


def debug_text(value: Any) -> str:
    """Write a JSON value into an error message.

    Args:
        value: what `parse_json` returned, or a part of it.

    Returns:
        JSON of at most 256 characters.
    """
    pieces: list[str] = []
    length = 0
    # In pieces, so that a message about 100 MB does not write 100 MB first.
    for piece in json.JSONEncoder(ensure_ascii=False).iterencode(value):
        pieces.append(piece[:_MAX_DEBUG_CHARACTERS])
        length += len(piece)
        if length >= _MAX_DEBUG_CHARACTERS:
            break
    return "".join(pieces)[:_MAX_DEBUG_CHARACTERS]


def type_name(value: Any) -> str:
    """Name a JSON value's type as TF Serving's messages do.

    Args:
        value: what `parse_json` returned, or a part of it.

    Returns:
        Null, False, True, Object, Array, String or Number.
    """
    if value is None or isinstance(value, bool):
        return {None: "Null", False: "False", True: "True"}[value]
    names = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def can_write(array: np.ndarray[Any, Any]) -> bool:
    """Tell whether JSON has a form for numbers of this dtype.

    Args:
        array: any array.

    Returns:
        True for bool, integers of 8 to 64 bits, float and double.
    """
    kind, size = array.dtype.kind, array.dtype.itemsize
    # bfloat16 and float8 call themselves kind V or f; half is 2 bytes: all refused.
    return kind in _DTYPES_OF_JSON and (kind != "f" or size >= _FLOAT32_BYTES)


def write_numbers(array: np.ndarray[Any, Any]) -> orjson.Fragment:
    """Write numbers or bools as nested lists, in the shortest form that reads back the same.

    Args:
        array: any shape, of a dtype for which `can_write` holds.

    Returns:
        JSON to be placed in a larger value; NaN, Infinity and -Infinity are bare tokens.
    """
    contiguous = np.ascontiguousarray(array).reshape(array.shape or (1,))
    text = orjson.dumps(contiguous, option=orjson.OPT_SERIALIZE_NUMPY)
    if array.dtype.kind == "f" and not np.isfinite(contiguous).all():
        # orjson writes null for them, and for nothing else in an array of floats.
        specials = contiguous[~np.isfinite(contiguous)]
        tokens = [_special_token(value) for value in specials]
        pieces = text.split(b"null")
        text = b"".join(piece + token for piece, token in zip(pieces, [*tokens, b""], strict=True))
    return orjson.Fragment(text if array.shape else text[1:-1])


def write_json(value: Any) -> bytes:
    """Write a value in which contiguous arrays, numpy scalars and `write_numbers`' texts may stand.

    Args:
        value: JSON values and those.

    Returns:
        UTF-8 JSON; float32 in the shortest form that reads back the same, NaN and Infinity of
        arrays and scalars as `null`.
    """
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _special_token(value: Any) -> bytes:
    if np.isnan(value):
        return b"NaN"
    return b"Infinity" if value > 0 else b"-Infinity"
