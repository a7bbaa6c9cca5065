"""The JSON of `:predict`: row (`instances`) and column (`inputs`) requests, and their replies."""

import base64
import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from serving.model_server.errors import InvalidArgumentError, ServingError
from serving.model_server.json_tensors import B64_KEY, is_base64_object, to_array
from serving.model_server.json_text import (
    can_write,
    debug_text,
    parse_json,
    write_json,
    write_numbers,
)
from serving.model_server.servable import Signature, Tensors

_SIGNATURE_KEY: Final = "signature_name"
_INSTANCES_KEY: Final = "instances"
_INPUTS_KEY: Final = "inputs"
_BYTES_SUFFIX: Final = "_bytes"


class Format(enum.Enum):
    """How a request was written, and so how its reply is; the value is the reply's key."""

    ROW = "predictions"
    COLUMN = "outputs"


@dataclasses.dataclass(frozen=True)
class PredictBody:
    """A parsed body.

    Attributes:
        document: the whole object.
        signature_name: the signature asked for; empty for the default one.
        text: the body.
    """

    document: dict[str, Any]
    signature_name: str
    text: bytes


def parse_body(body: bytes) -> PredictBody:
    """Parse a body as far as that is possible without the model.

    Args:
        body: the request's body.

    Returns:
        The parsed body.

    Raises:
        InvalidArgumentError: not a JSON object, or a bad `signature_name`.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise InvalidArgumentError(_describe_bad(document, "Is not object"))
    signature_name = document.get(_SIGNATURE_KEY, "")
    if not isinstance(signature_name, str):
        raise InvalidArgumentError(
            _describe_bad(
                document, "not formatted correctly. 'signature_name' key must be a string value."
            )
        )
    return PredictBody(document, signature_name, body)


def read_inputs(body: PredictBody, signature: Signature) -> tuple[Tensors, Format]:
    """Turn a body into the inputs of a signature.

    Args:
        body: the parsed body.
        signature: the signature it names.

    Returns:
        A tensor for each input, and the request's format.

    Raises:
        InvalidArgumentError: keys, names, types or shapes are not right.
    """
    document = body.document
    may_hold_bools = _may_hold_bools(body, signature)
    if not signature.inputs:
        name = body.signature_name or "DEFAULT"
        raise InvalidArgumentError(f"Failed to get input map for signature: {name}")
    if _INSTANCES_KEY in document and _INPUTS_KEY in document:
        raise InvalidArgumentError(
            _describe_bad(
                document,
                "Not formatted correctly expecting only one of 'inputs' or 'instances' "
                "keys to exist ",
            )
        )
    if _INSTANCES_KEY in document:
        instances = document[_INSTANCES_KEY]
        if not isinstance(instances, list):
            raise InvalidArgumentError(
                _describe_bad(document, "Expecting 'instances' to be an list/array")
            )
        if not instances:
            raise InvalidArgumentError(_describe_bad(document, "No values in 'instances' array"))
        return _read_rows(instances, signature, may_hold_bools), Format.ROW
    if _INPUTS_KEY in document:
        return _read_columns(document[_INPUTS_KEY], signature, may_hold_bools), Format.COLUMN
    raise InvalidArgumentError("Missing 'inputs' or 'instances' key")


def _may_hold_bools(body: PredictBody, signature: Signature) -> bool:
    # Looking for the words takes longer than all else about a picture, which is no number.
    if all(spec.dtype == np.object_ for spec in signature.inputs.values()):
        return False
    return b"true" in body.text or b"false" in body.text


def _describe_bad(value: Any, text: str) -> str:
    return f"JSON Value: {debug_text(value)} {text}"


def _is_named(element: Any) -> bool:
    return isinstance(element, dict) and not is_base64_object(element)


def _read_rows(instances: list[Any], signature: Signature, may_hold_bools: bool) -> Tensors:
    if not isinstance(instances[0], dict) and len(signature.inputs) > 1:
        raise InvalidArgumentError(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    if _is_named(instances[0]):
        columns = _transpose(instances, signature)
    else:
        _check_plain(instances)
        columns = {next(iter(signature.inputs)): instances}
    return {
        alias: _stack(alias, column, signature, may_hold_bools) for alias, column in columns.items()
    }


def _check_plain(instances: list[Any]) -> None:
    for index, element in enumerate(instances):
        if _is_named(element):
            raise InvalidArgumentError(
                f"Expecting value/list but got object at item {index} of input list"
            )


def _transpose(instances: list[Any], signature: Signature) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {alias: [] for alias in signature.inputs}
    for index, element in enumerate(instances):
        if not _is_named(element):
            raise InvalidArgumentError(
                f"Expecting object but got list at item {index} of input list"
            )
        for alias in element:
            if alias not in columns:
                raise _element_error(
                    index, alias, f"JSON object: does not have named input: {alias}"
                )
        if len(element) != len(columns):
            raise InvalidArgumentError(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{debug_text(element)} keys must be equal to: {','.join(signature.inputs)}"
            )
        for alias, value in element.items():
            columns[alias].append(value)
    return columns


def _element_error(index: int, alias: str, text: str) -> ServingError:
    key = f" key: {alias}" if alias else ""
    return InvalidArgumentError(
        f"Failed to process element: {index}{key} of 'instances' list. "
        f"Error: INVALID_ARGUMENT: {text}"
    )


def _stack(
    alias: str, column: list[Any], signature: Signature, may_hold_bools: bool
) -> np.ndarray[Any, Any]:
    spec = signature.inputs[alias]
    try:
        return to_array(column, spec, may_hold_bools=may_hold_bools)
    except ServingError as error:
        whole_error = error
    # Something is wrong with the column: look at its elements one by one to say with which.
    shape: tuple[int, ...] | None = None
    for index, value in enumerate(column):
        try:
            element = to_array(value, spec, may_hold_bools=True)
        except ServingError as error:
            key = f" key: {alias}" if len(signature.inputs) > 1 else ""
            raise InvalidArgumentError(
                f"Failed to process element: {index}{key} of 'instances' list. "
                f"Error: {error.describe()}"
            ) from error
        if shape is not None and element.shape != shape:
            raise _element_error(
                index, alias if len(signature.inputs) > 1 else "", _shape_text(shape, element.shape)
            )
        shape = element.shape
    raise whole_error


def _shape_text(expected: tuple[int, ...], got: tuple[int, ...]) -> str:
    if np.prod(expected) != np.prod(got):
        return f"Expecting tensor size: {np.prod(expected):.0f} but got: {np.prod(got):.0f}"
    expected_text, got_text = (",".join(map(str, shape)) for shape in (expected, got))
    return f"Expecting shape [{expected_text}] but got: [{got_text}]"


def _read_columns(value: Any, signature: Signature, may_hold_bools: bool) -> Tensors:
    if not _is_named(value):
        if len(signature.inputs) > 1:
            raise InvalidArgumentError(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        value = {next(iter(signature.inputs)): value}
    for alias in signature.inputs:
        if alias not in value:
            raise InvalidArgumentError(f"Missing named input: {alias} in 'inputs' object.")
    return {
        alias: to_array(value[alias], spec, may_hold_bools=may_hold_bools)
        for alias, spec in signature.inputs.items()
    }


def write_reply(outputs: Tensors, reply_format: Format) -> bytes:
    """Write the reply of a prediction.

    Args:
        outputs: the outputs by alias.
        reply_format: the request's format.

    Returns:
        UTF-8 JSON. A string output whose alias ends in `_bytes` is base64; text that is not
        UTF-8 has its wrong bytes replaced.

    Raises:
        InvalidArgumentError: a dtype without a JSON form, or outputs of a row request
            whose first dimensions differ.
    """
    if not outputs:
        raise InvalidArgumentError("Cannot convert empty tensor map to JSON")
    if reply_format is Format.ROW:
        _check_batch_sizes(outputs)
    if len(outputs) == 1:
        alias, array = next(iter(outputs.items()))
        value: Any = _write_array(alias, array)
    elif reply_format is Format.COLUMN:
        value = {alias: _write_array(alias, array) for alias, array in outputs.items()}
    else:
        return _write_rows(outputs, reply_format.value)
    return write_json({reply_format.value: value})


def _check_batch_sizes(outputs: Mapping[str, np.ndarray[Any, Any]]) -> None:
    expected: int | None = None
    for alias, array in outputs.items():
        if not array.shape:
            raise InvalidArgumentError(f"Tensor name: {alias} has no shape information ")
        if expected is not None and array.shape[0] != expected:
            raise InvalidArgumentError(
                f"Tensor name: {alias} has inconsistent batch size: {array.shape[0]} "
                f"expecting: {expected}"
            )
        expected = array.shape[0]


def _write_rows(outputs: Tensors, key: str) -> bytes:
    text = write_json({key: _make_rows(outputs, _split_rows)})
    if b"null" not in text:
        return text
    # NaN, Infinity, or a label of that name: a text for each row takes many times as long.
    return write_json({key: _make_rows(outputs, _write_each_row)})


def _make_rows(
    outputs: Tensors, make_rows: Callable[[np.ndarray[Any, Any]], list[Any]]
) -> list[dict[str, Any]]:
    columns = [
        _write_array(alias, array) if array.dtype == np.object_ else make_rows(_checked(array))
        for alias, array in outputs.items()
    ]
    return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


def _split_rows(array: np.ndarray[Any, Any]) -> list[Any]:
    return list(np.ascontiguousarray(array))


def _write_each_row(array: np.ndarray[Any, Any]) -> list[Any]:
    return [write_numbers(row) for row in array]


def _write_array(alias: str, array: np.ndarray[Any, Any]) -> Any:
    if array.dtype == np.object_:
        return _write_strings(array.tolist(), as_base64=alias.endswith(_BYTES_SUFFIX))
    return write_numbers(_checked(array))


def _checked(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if not can_write(array):
        raise InvalidArgumentError(
            f"Failed to write JSON value for tensor type: {array.dtype.name}"
        )
    return array


def _write_strings(value: Any, *, as_base64: bool) -> Any:
    if isinstance(value, list):
        return [_write_strings(element, as_base64=as_base64) for element in value]
    if as_base64:
        return {B64_KEY: base64.b64encode(value).decode("ascii")}
    return value.decode("utf-8", "replace")
