"""The JSON of `:classify` and `:regress`: `examples` and `context` in, `results` out.

Source: tensorflow_serving/util/json_tensor.cc; messages are its own.
"""

from typing import Any, Final

import numpy as np
import orjson

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.json_predict import parse_body
from serving.model_server.json_tensors import B64_KEY, decode_base64, is_base64_object
from serving.model_server.json_text import debug_text, type_name, write_numbers

_CONTEXT_KEY: Final = "context"
_EXAMPLES_KEY: Final = "examples"
_RESULTS_KEY: Final = "results"
_KIND_SUFFIX: Final = "_list"
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1
_UINT64_MAX: Final = 2**64 - 1


def fill_request(body: bytes, request: Any) -> None:
    """Read a body into a request message.

    Args:
        body: JSON; `signature_name` and `context` are optional, other keys than these and
            `examples` ignored.
        request: an empty ClassificationRequest or RegressionRequest; its examples and signature
            name are filled in.

    Raises:
        InvalidArgumentError: not JSON, or not of this form.
    """
    parsed = parse_body(body)
    document = parsed.document
    request.model_spec.signature_name = parsed.signature_name
    target = request.input.example_list
    if _CONTEXT_KEY in document:
        target = request.input.example_list_with_context
        _fill_example(document[_CONTEXT_KEY], target.context)
    for example in _read_examples(document):
        _fill_example(example, target.examples.add())


def _read_examples(document: dict[str, Any]) -> list[Any]:
    examples = document.get(_EXAMPLES_KEY)
    if _EXAMPLES_KEY not in document:
        complaint = f"When method is classify, key '{_EXAMPLES_KEY}' is expected and was not found"
    elif not isinstance(examples, list):
        complaint = f"Expecting '{_EXAMPLES_KEY}' value to be an list/array"
    elif not examples:
        complaint = f"'{_EXAMPLES_KEY}' value is an empty array"
    else:
        return examples
    raise InvalidArgumentError(f"JSON Value: {debug_text(document)} {complaint}")


def _fill_example(value: Any, example: Any) -> None:
    if not isinstance(value, dict):
        raise InvalidArgumentError(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value.items():
        feature = example.features.feature[name]
        elements = content if isinstance(content, list) else [content]
        if set(map(type, elements)) == {float}:  # the form that carries much
            feature.float_list.value.extend(elements)
        else:
            for element in elements:
                _add_value(element, name, feature)


def _add_value(value: Any, name: str, feature: Any) -> None:
    kind = _kind_of(value, name)
    expected = feature.WhichOneof("kind")
    if expected not in {None, kind}:
        raise InvalidArgumentError(
            f"Unexpected element type in feature: {name} "
            f"expecting type: {expected.removesuffix(_KIND_SUFFIX)}"
        )
    getattr(feature, kind).value.append(_convert(value, kind, name))


def _kind_of(value: Any, name: str) -> str:
    if isinstance(value, str) or is_base64_object(value):
        return "bytes_list"
    if isinstance(value, int) and _INT64_MIN <= value <= _UINT64_MAX:
        return "int64_list"
    if isinstance(value, int | float):  # an integer that 64 bits do not hold is a decimal
        return "float_list"
    raise InvalidArgumentError(
        f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
    )


def _convert(value: Any, kind: str, name: str) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, dict):
        return decode_base64(value[B64_KEY])
    if kind == "int64_list" and value > _INT64_MAX:
        raise InvalidArgumentError(
            f"Feature: {name} has uint64_t element. Only int64_t is supported."
        )
    try:
        return float(value) if kind == "float_list" else int(value)
    except OverflowError as error:
        raise InvalidArgumentError(
            "JSON Parse error: Number too big to be stored in double."
        ) from error


def write_classifications(result: Any) -> bytes:
    """Write the reply of a `:classify`.

    Args:
        result: the ClassificationResult.

    Returns:
        JSON: for each example a list of `[label, score]`.
    """
    rows = [row.classes for row in result.classifications]
    scores = np.array([item.score for row in rows for item in row], np.float32)
    # One text for all of them, cut at its commas: each score in the shortest form of a float32.
    text = orjson.dumps(write_numbers(scores))[1:-1]
    tokens = iter(text.split(b","))
    pairs = [[[item.label, orjson.Fragment(next(tokens))] for item in row] for row in rows]
    return orjson.dumps({_RESULTS_KEY: pairs})


def write_regressions(result: Any) -> bytes:
    """Write the reply of a `:regress`.

    Args:
        result: the RegressionResult.

    Returns:
        JSON: for each example a number.
    """
    values = np.array([item.value for item in result.regressions], np.float32)
    return orjson.dumps({_RESULTS_KEY: write_numbers(values)})
