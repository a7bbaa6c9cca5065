"""TensorProto <-> numpy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from tensorflow.core.framework import tensor_pb2

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.servable import TensorSpec
from serving.model_server.tensor_proto import data_type_name, read_tensor, write_tensor

NUMERIC = (
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool", "complex64", "complex128"),
)
SHAPES = stn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.sampled_from(NUMERIC).flatmap(lambda dtype: stn.arrays(dtype, SHAPES))
STRINGS = st.lists(st.binary()).map(lambda items: np.array([*items, None], object)[:-1])


def spec_for(array):
    data_type = tf.as_dtype(array.dtype).as_datatype_enum
    return TensorSpec("x", array.dtype, data_type, data_type_name(data_type), None)


def write(array, *, as_content=False):
    proto = tensor_pb2.TensorProto()
    write_tensor(array, spec_for(array), proto, as_content=as_content)
    return proto


@given(ARRAYS | STRINGS, st.booleans())
def test_what_is_written_is_read_back(array, as_content):
    proto = write(array, as_content=as_content)
    again = read_tensor(proto, spec_for(array))
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@given(ARRAYS)
def test_outputs_are_in_typed_fields_unless_asked_otherwise(array):
    assert not write(array).tensor_content
    content = write(array, as_content=True)
    assert content.tensor_content == array.tobytes()


@given(ARRAYS)
def test_tensorflow_reads_what_is_written(array):
    np.testing.assert_array_equal(tf.make_ndarray(write(array)), array)


def test_fast_fields_are_the_ones_that_protobuf_writes():
    for name, array in (
        ("float_val", np.float32([1.5, -2])),
        ("double_val", np.float64([0.1])),
        ("bool_val", np.array([True, False])),
    ):
        expected = tensor_pb2.TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum)
        expected.tensor_shape.dim.add(size=len(array))
        getattr(expected, name).extend(array.tolist())
        assert write(array).SerializeToString() == expected.SerializeToString()


def test_rare_dtypes():
    array = np.array([0.5, -2], tf.bfloat16.as_numpy_dtype)
    np.testing.assert_array_equal(read_tensor(write(array), spec_for(array)), array)


FLOAT_SPEC = spec_for(np.zeros(1, np.float32))


def float_proto(shape, **fields):
    proto = tensor_pb2.TensorProto(dtype=tf.float32.as_datatype_enum, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        (tensor_pb2.TensorProto(dtype=9), "input tensor 'x' is int64, expected float"),
        (tensor_pb2.TensorProto(dtype=999), "input tensor 'x' is unknown type 999, expected float"),
        (float_proto([-1]), "tensor parsing error: x (shape [-1] is not fully known)"),
        (float_proto([1], float_val=[1, 2]), "tensor parsing error: x ("),
        (float_proto([2**62, 2**62]), "needs 85070591730234615865843651857942052864 bytes"),
        (float_proto([2], tensor_content=b"abc"), "has 3 bytes, expected 8"),
    ],
)
def test_protos_that_are_no_such_tensor(proto, message):
    with pytest.raises(InvalidArgumentError) as caught:
        read_tensor(proto, FLOAT_SPEC)
    assert message in caught.value.message


@given(st.binary())
def test_any_message_is_a_tensor_or_an_error(data):
    proto = float_proto([2], tensor_content=data)
    if len(data) in {0, 8}:
        assert read_tensor(proto, FLOAT_SPEC).shape == (2,)
    else:
        with pytest.raises(InvalidArgumentError):
            read_tensor(proto, FLOAT_SPEC)


STRING_SPEC = spec_for(np.array([b""], object))


def string_proto(shape, content):
    proto = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, tensor_content=content)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@given(st.lists(st.binary(max_size=127), min_size=1))
def test_strings_may_come_as_content(strings):
    lengths = bytes(map(len, strings))
    again = read_tensor(string_proto([len(strings), 1], lengths + b"".join(strings)), STRING_SPEC)
    assert again.shape == (len(strings), 1)
    assert again[:, 0].tolist() == strings


def test_a_long_string_may_come_as_content():
    scalar = read_tensor(string_proto([], b"\xac\x02" + b"x" * 300), STRING_SPEC)
    assert (scalar.shape, scalar.item()) == ((), b"x" * 300)


@pytest.mark.parametrize(
    ("shape", "content", "message"),
    [
        ([2], b"\x01", "tensor_content has 1 bytes, too few for the strings of shape [2]"),
        ([2**27], b"\x01\x01ab", "too few for the strings of shape [134217728]"),
        ([1], b"\x05ab", "tensor_content is no list of strings"),
        ([1], b"\x01ab", "tensor_content is no list of strings"),
        ([1], b"\xff" * 20, "tensor_content is no list of strings"),
    ],
)
def test_content_that_is_no_list_of_strings(shape, content, message):
    with pytest.raises(InvalidArgumentError) as caught:
        read_tensor(string_proto(shape, content), STRING_SPEC)
    assert message in caught.value.message
