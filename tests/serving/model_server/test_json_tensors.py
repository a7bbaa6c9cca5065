"""JSON values <-> tensors."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from serving.model_server.errors import InvalidArgumentError, ServingError
from serving.model_server.json_tensors import to_array
from serving.model_server.servable import TensorSpec

NAMES = {"float32": "float", "float64": "double", "object": "string", "float16": "half"}


def spec(dtype):
    name = np.dtype(dtype).name
    return TensorSpec("x", np.dtype(dtype), 0, NAMES.get(name, name), None)


DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
SHAPES = stn.array_shapes(min_dims=0, max_dims=4, min_side=1)
LEAVES = st.one_of(
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.just({"b64": "YQ=="}),
    st.just({"b64": 1}),
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=12)


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: stn.arrays(dtype, SHAPES)), st.booleans())
def test_numbers_survive_json(array, may_hold_bools):
    value = json.loads(json.dumps(array.tolist()))
    again = to_array(value, spec(array.dtype), may_hold_bools=may_hold_bools)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@given(stn.arrays(bool, SHAPES))
def test_bools_survive_json(array):
    np.testing.assert_array_equal(to_array(array.tolist(), spec(bool), may_hold_bools=True), array)


@given(st.lists(st.lists(st.binary(), min_size=2, max_size=2)))
def test_bytes_survive_base64(rows):
    value = [[{"b64": base64.b64encode(item).decode()} for item in row] for row in rows]
    array = to_array(value, spec(object), may_hold_bools=False)
    assert array.tolist() == rows
    assert array.shape == ((len(rows), 2) if rows else (0,))


@given(st.text())
def test_text_becomes_utf8(text):
    array = to_array(text, spec(object), may_hold_bools=False)
    assert array[()] == text.encode("utf-8", "surrogatepass")


def attempt(value, dtype, may_hold_bools):
    try:
        array = to_array(value, spec(dtype), may_hold_bools=may_hold_bools)
    except ServingError as error:
        return error.message
    return array.shape, array.dtype, array.tobytes()


def holds_bool(value):
    return any(map(holds_bool, value)) if isinstance(value, list) else isinstance(value, bool)


@given(VALUES.filter(lambda value: not holds_bool(value)), st.sampled_from(DTYPES))
def test_the_fast_way_does_what_the_exact_way_does(value, dtype):
    assert attempt(value, dtype, False) == attempt(value, dtype, True)


@given(VALUES, st.sampled_from([*DTYPES, "bool", "object", "float16"]))
def test_any_value_is_a_tensor_or_an_error(value, dtype):
    attempt(value, dtype, True)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (True, "float32", "JSON Value: true Type: True is not of expected type: float"),
        (1.0, "int64", "JSON Value: 1.0 Type: Number is not of expected type: int64"),
        (2**31, "int8", "JSON Value: 2147483648 Type: Number is not of expected type: int8"),
        (-1, "uint32", "JSON Value: -1 Type: Number is not of expected type: uint32"),
        (1, "bool", "JSON Value: 1 Type: Number is not of expected type: bool"),
        (1, "object", "JSON Value: 1 Type: Number is not of expected type: string"),
        ({}, "float32", "JSON Value: {} Type: Object is not of expected type: float"),
        ({"b64": 1}, "object", 'JSON Value: {"b64": 1} not formatted correctly for base64 data'),
        ({"b64": "a*b="}, "object", "Unable to base64 decode"),
        ([[1], 2], "int32", "JSON Value: 2 found at incorrect level: 2 in the JSON DOM."),
        ([[1, 2], [1]], "int32", "Encountered list at unexpected size: 1 at level: 1 expected"),
        ([1, [1]], "int32", "Encountered list at unexpected level: 1 expected < 1"),
    ],
)
def test_errors_name_the_value_and_the_type(value, dtype, message):
    for given_value in (value, [value]):
        with pytest.raises(InvalidArgumentError) as caught:
            to_array(given_value, spec(dtype), may_hold_bools=value is True)
        assert given_value is not value or caught.value.message.startswith(message)


def test_a_tower_of_lists_is_no_tensor():
    value = []
    for _ in range(900):
        value = [value]
    with pytest.raises(InvalidArgumentError, match="nested deeper than 254 levels"):
        to_array(value, spec("float32"), may_hold_bools=False)


def test_dtypes_without_a_json_form():
    with pytest.raises(ServingError) as caught:
        to_array([1], spec("float16"), may_hold_bools=False)
    assert (caught.value.http_status, caught.value.message) == (
        501,
        "Conversion of JSON Value: 1 to type: half",
    )


@pytest.mark.parametrize("text", ["YWI=", "YWI", "Y W\nI=", "YWI==="])
def test_base64_may_have_line_breaks_or_lack_padding(text):
    assert to_array({"b64": text}, spec(object), may_hold_bools=False)[()] == b"ab"


def test_literals_for_small_integers_are_int32_and_keep_their_low_bits():
    assert to_array([300, -1], spec("uint8"), may_hold_bools=False).tolist() == [44, 255]
    assert to_array([300, -1], spec("int8"), may_hold_bools=True).tolist() == [44, -1]
