"""JSON text, in and out."""

import contextlib
import json
import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.json_text import can_write, debug_text, parse_json, write_numbers

NUMBERS = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")
DTYPES = st.sampled_from([*NUMBERS, "bool"]).map(np.dtype)
ARRAYS = DTYPES.flatmap(
    lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, max_dims=4, min_side=0))
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ARRAYS)
def test_numbers_read_back_exactly_in_their_own_dtype(array):
    value = json.loads(orjson.dumps({"a": write_numbers(array)}))["a"]
    again = np.array(value, array.dtype).reshape(array.shape)
    assert again.tobytes() == array.tobytes() or np.isnan(array).any()
    np.testing.assert_array_equal(again, array)


@given(ARRAYS.filter(lambda array: array.dtype == np.float32 and array.size))
def test_no_number_is_longer_than_it_needs_to_be(array):
    text = orjson.dumps(write_numbers(array)).decode()
    assert max(len(word.strip("[]")) for word in text.split(",")) <= 15


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_that_are_not_finite_are_tokens_in_their_places(dtype):
    array = np.array([[np.nan, 0.1], [np.inf, -np.inf]], dtype)
    assert orjson.dumps([write_numbers(array)]) == b"[[[NaN,0.1],[Infinity,-Infinity]]]"
    assert orjson.dumps(write_numbers(array[0, 0])) == b"NaN"


def test_layouts_that_are_not_contiguous():
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T[::2]
    assert orjson.dumps(write_numbers(array)) == b"[[0.0,3.0],[2.0,5.0]]"


@pytest.mark.parametrize("dtype", ["float16", "complex64", "object"])
def test_dtypes_without_a_form(dtype):
    assert not can_write(np.zeros(1, dtype))


@given(JSON)
def test_what_python_writes_is_read_back(value):
    again = parse_json(json.dumps(value).encode())
    assert repr(again) == repr(value) or again == value or math.nan in _leaves(value)


def _leaves(value):
    if isinstance(value, dict):
        return [leaf for child in value.values() for leaf in _leaves(child)]
    if isinstance(value, list):
        return [leaf for child in value for leaf in _leaves(child)]
    return [math.nan if isinstance(value, float) and math.isnan(value) else value]


@given(st.binary())
def test_any_bytes_are_json_or_a_clean_error(body):
    with contextlib.suppress(InvalidArgumentError):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The document is empty"),
        (b"{", "Missing a name for object member. at offset: 1"),
        (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
        (b'{"a": 1 2}', "Missing a comma or } after an object member. at offset: 8"),
        (b'{"a', "Missing a closing quotation mark in string. at offset: 1"),
        (b'{"a": tru}', "Invalid value. at offset: 6"),
        (b'{"a": "\\x"}', "Invalid escape character in string. at offset: 7"),
        (b'["\\u12"]', "Incorrect hex digit after \\u escape in string. at offset:"),
        (b'["\xff"]', "Invalid encoding in string. at offset: 2"),
        (b"[" * 100_000, "Invalid value."),
        (b"[NaN, " + b"9" * 5000 + b"]", "Invalid value."),
    ],
)
def test_parse_errors_say_what_and_where(body, message):
    with pytest.raises(InvalidArgumentError) as caught:
        parse_json(body)
    assert caught.value.message.startswith(f"JSON Parse error: {message}")


def test_error_messages_hold_no_more_than_256_characters_of_a_value():
    assert len(debug_text(["x" * 1000] * 1000)) == 256
    assert debug_text({"a": ["é", 1.5]}) == '{"a": ["é", 1.5]}'
