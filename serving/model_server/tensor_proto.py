"""TensorProto <-> numpy, fast in the directions that carry much."""

import math
from typing import Any, Final

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.servable import TensorSpec

MAX_TENSOR_BYTES: Final = 2**31 - 1
"""One typed value fills a shape, so a few bytes could ask for any amount of memory; a message
that spells its values out cannot hold more than this either."""

# Packed repeated fields of TensorProto whose bytes on the wire are the array's own bytes.
_SAME_BYTES_FIELDS: Final = {
    types_pb2.DT_FLOAT: 5,
    types_pb2.DT_DOUBLE: 6,
    types_pb2.DT_BOOL: 11,
}
_VALUE_FIELDS: Final = {
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_STRING: "string_val",
}
_PACKED_WIRE_TYPE: Final = 2


def data_type_name(data_type: int) -> str:
    """Name a dtype as TensorFlow's C++ messages do.

    Args:
        data_type: value of `tensorflow.DataType`.

    Returns:
        Text such as `float`, `int64` or `string`.
    """
    name = types_pb2.DataType.Name(data_type).removeprefix("DT_").lower()
    return name if name != "invalid" else "INVALID"


def read_tensor(proto: Any, spec: TensorSpec) -> np.ndarray[Any, Any]:
    """Read an input of a request.

    Args:
        proto: the TensorProto; one typed value fills the shape.
        spec: the input it is meant for.

    Returns:
        The value, of the input's dtype.

    Raises:
        InvalidArgumentError: another dtype, or values that do not fit the shape.
    """
    if proto.dtype != spec.data_type:
        given = _given_type_name(proto.dtype)
        raise InvalidArgumentError(
            f"input tensor {spec.alias!r} is {given}, expected {spec.data_type_name}. "
            "Send that dtype."
        )
    shape = _read_shape(proto, spec)
    if proto.dtype == types_pb2.DT_STRING and proto.tensor_content:
        return _read_string_content(proto, spec, shape)
    if proto.dtype == types_pb2.DT_STRING and len(proto.string_val) == math.prod(shape):
        # What TensorFlow's function does for a picture takes many times as long.
        strings = np.empty(len(proto.string_val), object)
        strings[:] = proto.string_val
        return strings.reshape(shape)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise InvalidArgumentError(_parsing_text(spec, str(error))) from error


def _read_string_content(proto: Any, spec: TensorSpec, shape: list[int]) -> np.ndarray[Any, Any]:
    # Lengths, then bytes (DecodeStringList in tensorflow/core/platform/coding.cc): rare enough for
    # TensorFlow's own decoder, which wants a length of at least a byte for each string.
    size = len(proto.tensor_content)
    if math.prod(shape) > size:
        detail = f"tensor_content has {size} bytes, too few for the strings of shape {shape}"
        raise InvalidArgumentError(_parsing_text(spec, detail))
    try:
        return np.asarray(tf.io.parse_tensor(proto.SerializeToString(), tf.string).numpy(), object)
    except tf.errors.InvalidArgumentError as error:
        detail = "tensor_content is no list of strings: their lengths as varints, then their bytes"
        raise InvalidArgumentError(_parsing_text(spec, detail)) from error


def _given_type_name(data_type: int) -> str:
    known = data_type in types_pb2.DataType.values()
    return data_type_name(data_type) if known else f"unknown type {data_type}"


def _parsing_text(spec: TensorSpec, detail: str) -> str:
    return f"tensor parsing error: {spec.alias} ({detail})"


def _read_shape(proto: Any, spec: TensorSpec) -> list[int]:
    sizes = [dimension.size for dimension in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise InvalidArgumentError(_parsing_text(spec, f"shape {sizes} is not fully known"))
    item_bytes = spec.dtype.itemsize
    num_bytes = math.prod(sizes) * item_bytes
    if num_bytes > MAX_TENSOR_BYTES:
        raise InvalidArgumentError(_parsing_text(spec, f"shape {sizes} needs {num_bytes} bytes"))
    is_string = proto.dtype == types_pb2.DT_STRING
    if proto.tensor_content and not is_string and len(proto.tensor_content) != num_bytes:
        detail = f"tensor_content has {len(proto.tensor_content)} bytes, expected {num_bytes}"
        raise InvalidArgumentError(_parsing_text(spec, detail))
    return sizes


def write_tensor(
    array: np.ndarray[Any, Any], spec: TensorSpec, proto: Any, *, as_content: bool
) -> None:
    """Write an output of a reply, in the typed field of its dtype unless told otherwise.

    Args:
        array: the value, of the output's dtype.
        spec: the output.
        proto: an empty TensorProto.
        as_content: whether to use tensor_content (never for strings).
    """
    proto.dtype = spec.data_type
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    flat = np.ascontiguousarray(array).reshape(-1)
    field_number = _SAME_BYTES_FIELDS.get(spec.data_type)
    field_name = _VALUE_FIELDS.get(spec.data_type)
    if as_content and spec.data_type != types_pb2.DT_STRING:
        proto.tensor_content = flat.tobytes()
    elif field_number is not None:
        # A hundred times faster than extending the field with Python floats; the same bytes.
        tag = bytes([field_number << 3 | _PACKED_WIRE_TYPE])
        proto.MergeFromString(tag + _varint(flat.nbytes) + flat.tobytes())
    elif field_name is not None:
        getattr(proto, field_name).extend(flat.tolist())
    else:
        _write_rare(flat, spec, proto)


def _write_rare(flat: np.ndarray[Any, Any], spec: TensorSpec, proto: Any) -> None:
    if spec.dtype.itemsize == np.dtype(np.uint16).itemsize:  # half and bfloat16, as their bits
        proto.half_val.extend(flat.view(np.uint16).tolist())
    elif spec.dtype.kind == "c":
        is_single = spec.dtype.itemsize == np.dtype(np.complex64).itemsize
        field = proto.scomplex_val if is_single else proto.dcomplex_val
        field.extend(flat.view(np.float32 if is_single else np.float64).tolist())
    else:
        proto.tensor_content = flat.tobytes()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
