"""The JSON of `:predict`, without a server."""

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from serving.model_server.json_predict import Format, parse_body, read_inputs, write_reply
from serving.model_server.json_text import write_numbers
from serving.model_server.servable import Signature, TensorSpec

DTYPES = st.sampled_from(["float32", "float64", "int8", "int64", "uint8", "uint64", "bool"])


@st.composite
def outputs(draw):
    """Two numeric outputs and one of strings, with the same number of rows."""
    num_rows = draw(st.integers(0, 4))
    found = {}
    for alias in ("a", "b"):
        shape = (num_rows, *draw(stn.array_shapes(min_dims=0, max_dims=2, min_side=0)))
        found[alias] = draw(stn.arrays(draw(DTYPES), shape))
    found["label"] = np.array(
        [*draw(st.lists(st.binary(), min_size=num_rows, max_size=num_rows)), None], object
    )[:-1]
    return found


@given(outputs())
def test_each_row_is_written_as_it_would_be_alone(tensors):
    rows = json.loads(write_reply(tensors, Format.ROW))["predictions"]
    expected = [
        {
            "a": json.loads(orjson.dumps(write_numbers(tensors["a"][row]))),
            "b": json.loads(orjson.dumps(write_numbers(tensors["b"][row]))),
            "label": tensors["label"][row].decode("utf-8", "replace"),
        }
        for row in range(len(tensors["a"]))
    ]
    # As text, because NaN is not equal to itself.
    assert json.dumps(rows) == json.dumps(expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_a_token_in_its_row(value):
    tensors = {"x": np.float32([[0.1, value], [2, 3]]), "y": np.float64([value, 1])}
    token = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    text = write_reply(tensors, Format.ROW).decode()
    first = f'{{"x":[0.1,{token}],"y":{token}}}'
    assert text == f'{{"predictions":[{first},{{"x":[2.0,3.0],"y":1.0}}]}}'


def test_a_label_may_be_called_null():
    tensors = {"label": np.array([b"null"], object), "x": np.float32([0.5])}
    text = write_reply(tensors, Format.ROW)
    assert text == b'{"predictions":[{"label":"null","x":0.5}]}'


@pytest.mark.parametrize(
    ("dtype", "body"),
    [("float32", b'{"instances": [true]}'), ("string", b'{"instances": ["a"], "x": true}')],
)
def test_true_is_no_number_and_does_not_matter_to_text(dtype, body):
    kind = np.dtype(object if dtype == "string" else dtype)
    name = "float" if dtype == "float32" else dtype
    spec = TensorSpec("x", kind, 1, name, None)
    signature = Signature("s", "", {"x": spec}, {}, lambda *_: [])
    if dtype == "string":
        assert read_inputs(parse_body(body), signature)[0]["x"].tolist() == [b"a"]
    else:
        with pytest.raises(Exception, match="is not of expected type: float"):
            read_inputs(parse_body(body), signature)
