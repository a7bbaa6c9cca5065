"""The JSON of `:classify` and `:regress`, without a server."""

import base64
import json
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.json_examples import (
    fill_request,
    write_classifications,
    write_regressions,
)

FLOATS = st.lists(st.floats(width=32, allow_nan=False), min_size=1)
INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.booleans(), min_size=1)
BYTES = st.lists(st.binary() | st.text(), min_size=1)
FEATURES = st.dictionaries(st.text(), FLOATS | INTEGERS | BYTES)


def read(body):
    request = classification_pb2.ClassificationRequest()
    fill_request(body if isinstance(body, bytes) else json.dumps(body).encode(), request)
    return request


def to_json(features):
    return {
        name: [
            {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            for value in values
        ]
        for name, values in features.items()
    }


def to_example(features):
    example = tf.train.Example()
    for name, values in features.items():
        feature = example.features.feature[name]
        if isinstance(values[0], float):
            feature.float_list.value.extend(values)
        elif isinstance(values[0], int):
            feature.int64_list.value.extend(map(int, values))
        else:
            feature.bytes_list.value.extend(
                value.encode() if isinstance(value, str) else value for value in values
            )
    return example


@given(st.lists(FEATURES, min_size=1, max_size=3), FEATURES | st.none(), st.text())
def test_features_of_every_kind_are_read(examples, context, signature):
    body = {"signature_name": signature, "examples": [to_json(example) for example in examples]}
    if context is not None:
        body["context"] = to_json(context)
    request = read(body)
    assert request.model_spec.signature_name == signature
    kind = "example_list" if context is None else "example_list_with_context"
    assert request.input.WhichOneof("kind") == kind
    given_input = getattr(request.input, kind)
    assert list(given_input.examples) == [to_example(example) for example in examples]
    if context is not None:
        assert given_input.context == to_example(context)


LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3)
)
VALUES = st.recursive(
    LEAVES | st.just({"b64": "YQ=="}) | st.just({"b64": "*"}),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_any_document_is_read_or_refused(examples, context):
    for body in ({"examples": examples}, {"examples": [examples], "context": context}):
        try:
            outcome = read(body).input.WhichOneof("kind")
        except InvalidArgumentError as error:
            outcome = error.message.encode()
        assert outcome


def test_a_scalar_is_a_list_of_one():
    body = {"examples": [{"x": 1.5, "n": 2, "t": True, "s": "é", "b": {"b64": "/w"}}]}
    expected = to_example({"x": [1.5], "n": [2], "t": [1], "s": ["é"], "b": [b"\xff"]})
    assert read(body).input.example_list.examples[0] == expected


def test_an_empty_list_is_a_feature_without_values():
    feature = read({"examples": [{"x": []}]}).input.example_list.examples[0].features.feature
    assert list(feature) == ["x"]
    assert feature["x"].WhichOneof("kind") is None


def test_decimals_are_narrowed_and_large_integers_are_decimals():
    body = b'{"examples": [{"x": [0.1, 1e300, -Infinity, NaN, 18446744073709551616]}]}'
    example = read(body).input.example_list.examples[0]
    values = list(example.features.feature["x"].float_list.value)
    assert values[:3] == [np.float32(0.1), math.inf, -math.inf]
    assert math.isnan(values[3])
    assert values[4] == 2.0**64


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"[1]", "JSON Value: [1] Is not object"),
        ({"signature_name": 1}, "'signature_name' key must be a string value."),
        ({}, "JSON Value: {} When method is classify, key 'examples' is expected and was not"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": None}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": []}, "Example must be JSON object but got JSON Array"),
        (
            {"examples": [{"x": None}]},
            "Feature: x has element with unexpected JSON type: Null",
        ),
        (
            {"examples": [{"x": [[1]]}]},
            "Feature: x has element with unexpected JSON type: Array",
        ),
        (
            {"examples": [{"x": {"y": 1}}]},
            "Feature: x has element with unexpected JSON type: Object",
        ),
        (
            {"examples": [{"x": [1.5, 1]}]},
            "Unexpected element type in feature: x expecting type: float",
        ),
        (
            {"examples": [{"x": [1, "a"]}]},
            "Unexpected element type in feature: x expecting type: int64",
        ),
        (
            {"examples": [{"x": ["a", True]}]},
            "Unexpected element type in feature: x expecting type: bytes",
        ),
        ({"examples": [{"x": {"b64": "*"}}]}, "Unable to base64 decode"),
        (
            {"examples": [{"x": 2**63}]},
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        ({"examples": [{"x": 10**400}]}, "Number too big to be stored in double."),
        (b'{"examples": [{"\\ud800": 1}]}', "The surrogate pair in string is invalid."),
    ],
)
def test_what_is_wrong_is_said(body, message):
    with pytest.raises(InvalidArgumentError) as caught:
        read(body)
    assert message in caught.value.message


FLOAT32 = st.floats(width=32, allow_nan=False)


@given(st.lists(st.lists(st.tuples(st.text(), FLOAT32))))
def test_labels_and_scores_survive(rows):
    result = classification_pb2.ClassificationResult()
    for row in rows:
        classes = result.classifications.add().classes
        for label, score in row:
            classes.add(label=label, score=score)
    reply = json.loads(write_classifications(result))
    assert reply == {"results": [[[label, pytest.approx(s)] for label, s in row] for row in rows]}
    again = [[(label, np.float32(score)) for label, score in row] for row in reply["results"]]
    assert again == rows


def test_numbers_are_the_shortest_that_read_back():
    classes = classification_pb2.ClassificationResult()
    classes.classifications.add().classes.add(label="a", score=0.1)
    classes.classifications[0].classes.add(score=math.nan)
    assert write_classifications(classes) == b'{"results":[[["a",0.1],["",NaN]]]}'
    values = regression_pb2.RegressionResult()
    for value in (1 / 3, 3, math.inf):
        values.regressions.add(value=value)
    assert write_regressions(values) == b'{"results":[0.33333334,3.0,Infinity]}'
