"""JSON values <-> tensors, by the rules of TF Serving's REST API.

Source: tensorflow_serving/util/json_tensor.cc; messages are its own.
"""

import binascii
import math
from typing import Any, Final

import numpy as np
import pybase64

from serving.model_server.errors import Code, InvalidArgumentError, ServingError
from serving.model_server.json_text import debug_text, type_name
from serving.model_server.servable import TensorSpec

B64_KEY: Final = "b64"
MAX_RANK: Final = 254
"""TensorFlow's limit on dimensions."""

_INT32: Final = np.iinfo(np.int32)
# Smallest and largest literal that each dtype takes; those of 8 and 16 bits take an int32.
_INTEGER_LIMITS: Final = {
    "int8": (_INT32.min, _INT32.max),
    "int16": (_INT32.min, _INT32.max),
    "int32": (_INT32.min, _INT32.max),
    "uint8": (_INT32.min, _INT32.max),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_FLOATS: Final = ("float", "double")


def is_base64_object(value: Any) -> bool:
    """Tell whether a JSON value is bytes written as `{"b64": "..."}`.

    Args:
        value: a JSON value.

    Returns:
        True when that one key is there, with text.
    """
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(B64_KEY), str)


def to_array(value: Any, spec: TensorSpec, *, may_hold_bools: bool) -> np.ndarray[Any, Any]:
    """Turn a JSON value into the tensor of an input.

    Args:
        value: a number, bool, text, `{"b64": ..}`, or lists of them to any depth.
        spec: the input.
        may_hold_bools: False when the request is known to hold neither true nor false: numpy
            would take them for numbers.

    Returns:
        The tensor; its shape is that of the lists.

    Raises:
        InvalidArgumentError: ragged lists and values of another type,
            UNIMPLEMENTED for dtypes that JSON has no form for.
    """
    if not may_hold_bools and isinstance(value, list):
        array = _convert_at_once(value, spec)
        if array is not None:
            return array
    shape = _shape_of_first_elements(value)
    leaves: list[Any] = []
    _collect(value, 0, shape, spec, leaves)
    with np.errstate(over="ignore"):  # 1e39 is Infinity as float32, there as here
        flat = np.empty(len(leaves), spec.dtype)
        flat[:] = _narrow(leaves, spec)
    return flat.reshape(shape)


def _convert_at_once(value: list[Any], spec: TensorSpec) -> np.ndarray[Any, Any] | None:
    # Rectangular lists of plain numbers in one C loop; anything else takes the exact way.
    limits = _INTEGER_LIMITS.get(spec.data_type_name)
    if limits is None and spec.data_type_name not in _FLOATS:
        return None
    try:
        array: np.ndarray[Any, Any] = np.array(value)
    except (ValueError, OverflowError):
        return None
    if limits is None:
        is_exact = array.dtype.kind in "fiu"
    else:
        is_exact = array.dtype.kind in "iu" and bool(
            array.size and array.min() >= limits[0] and array.max() <= limits[1]
        )
    if not is_exact:
        return None
    with np.errstate(over="ignore"):
        return array.astype(spec.dtype)


def _shape_of_first_elements(value: Any) -> tuple[int, ...]:
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MAX_RANK:
            raise InvalidArgumentError(f"Encountered lists nested deeper than {MAX_RANK} levels")
        if not value:
            break
        value = value[0]
    return tuple(shape)


def _collect(
    value: Any, level: int, shape: tuple[int, ...], spec: TensorSpec, leaves: list[Any]
) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise InvalidArgumentError(
                f"JSON Value: {debug_text(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        leaves.append(_check_leaf(value, spec))
        return
    if level >= len(shape):
        raise InvalidArgumentError(
            f"Encountered list at unexpected level: {level} expected < {len(shape)}"
        )
    if len(value) != shape[level]:
        raise InvalidArgumentError(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for element in value:
        _collect(element, level + 1, shape, spec, leaves)


def _check_leaf(value: Any, spec: TensorSpec) -> Any:
    name = spec.data_type_name
    if isinstance(value, dict):
        return _decode_base64(value, spec)
    if name in _FLOATS:
        is_right = isinstance(value, int | float) and not isinstance(value, bool)
    elif name in _INTEGER_LIMITS:
        low, high = _INTEGER_LIMITS[name]
        is_right = type(value) is int and low <= value <= high
    elif name == "bool":
        is_right = isinstance(value, bool)
    elif name == "string":
        is_right = isinstance(value, str)
    else:
        raise ServingError(
            Code.UNIMPLEMENTED,
            f"Conversion of JSON Value: {debug_text(value)} to type: {name}",
        )
    if not is_right:
        raise _type_error(value, spec)
    return value.encode("utf-8", "surrogatepass") if name == "string" else value


def _type_error(value: Any, spec: TensorSpec) -> ServingError:
    return InvalidArgumentError(
        f"JSON Value: {debug_text(value)} Type: {type_name(value)} "
        f"is not of expected type: {spec.data_type_name}"
    )


def _decode_base64(value: dict[str, Any], spec: TensorSpec) -> bytes:
    if spec.data_type_name != "string":
        raise _type_error(value, spec)
    if not is_base64_object(value):
        raise InvalidArgumentError(
            f"JSON Value: {debug_text(value)} not formatted correctly for base64 data"
        )
    return decode_base64(value[B64_KEY])


def decode_base64(text: str) -> bytes:
    """Decode the text of a `{"b64": ..}`.

    Args:
        text: base64; line breaks are taken, and padding may be missing.

    Returns:
        The bytes.

    Raises:
        InvalidArgumentError: the text is not base64.
    """
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return _decode_loose_base64(text)


def _decode_loose_base64(text: str) -> bytes:
    # TF Serving also takes line breaks, and text without its padding.
    compact = "".join(text.split()).rstrip("=")
    try:
        return pybase64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError("Unable to base64 decode") from error


def _narrow(leaves: list[Any], spec: TensorSpec) -> Any:
    if spec.data_type_name in _FLOATS:
        return [_as_double(leaf) for leaf in leaves]
    if spec.dtype.kind in "iu":
        # Literals of an int32 are taken for int8 and kept by their low bits, as in C++.
        bits = 8 * spec.dtype.itemsize
        wide = np.array([leaf % 2**bits for leaf in leaves], dtype=np.uint64)
        return wide.astype(spec.dtype)
    return leaves


def _as_double(leaf: float) -> float:
    try:
        return float(leaf)
    except OverflowError:
        return math.copysign(math.inf, leaf)
