"""Signatures that take examples: what one must look like, and what its outputs become.

Source: tensorflow_serving/servables/tensorflow/classifier.cc and regressor.cc; messages are theirs.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.servable import Signature, Tensors

INPUTS_ALIAS: Final = "inputs"
_CLASSES_ALIAS: Final = "classes"
_SCORES_ALIAS: Final = "scores"
_OUTPUTS_ALIAS: Final = "outputs"
_MATRIX_RANK: Final = 2


@dataclasses.dataclass(frozen=True)
class Head:
    """One kind of inference over examples.

    Attributes:
        method_name: `SignatureDef.method_name` of its signatures, and `InferenceTask.method_name`.
        result_field: field of InferenceResult that its result goes into.
        choose_outputs: takes a signature and its SignatureDef, returns the aliases of the outputs
            to compute; raises InvalidArgumentError when the signature is not of this kind.
        make_result: takes the signature, the outputs by alias and the number of examples, returns
            the result message; raises InvalidArgumentError for outputs of another shape or dtype.
    """

    method_name: str
    result_field: str
    choose_outputs: Callable[[Signature, Any], tuple[str, ...]]
    make_result: Callable[[Signature, Tensors, int], Any]


def _check_kind(signature: Signature, noun: str, method_name: str) -> None:
    if signature.checks_method_name and signature.method_name != method_name:
        raise InvalidArgumentError(
            f"Expected {noun} signature method_name to be {method_name}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise InvalidArgumentError("Expected one input Tensor.")


def _check_inputs_alias(signature: Signature, noun: str, definition: Any) -> None:
    if INPUTS_ALIAS not in signature.inputs:
        raise InvalidArgumentError(
            f"No {noun} inputs found in SignatureDef: {text_format.MessageToString(definition)}"
        )


def _choose_classification_outputs(signature: Signature, definition: Any) -> tuple[str, ...]:
    _check_kind(signature, "classification", CLASSIFICATION.method_name)
    if len(signature.outputs) not in {1, 2}:
        raise InvalidArgumentError(
            f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    _check_inputs_alias(signature, "classification", definition)
    aliases = (_CLASSES_ALIAS, _SCORES_ALIAS)
    chosen = tuple(alias for alias in aliases if alias in signature.outputs)
    if not chosen:
        raise InvalidArgumentError(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES_ALIAS}" or "{_SCORES_ALIAS}". '
            f"Signature was: {text_format.MessageToString(definition)}"
        )
    return chosen


def _make_classification(signature: Signature, outputs: Tensors, num_examples: int) -> Any:
    for alias, data_type in (
        (_CLASSES_ALIAS, types_pb2.DT_STRING),
        (_SCORES_ALIAS, types_pb2.DT_FLOAT),
    ):
        if alias in outputs:
            _check_matrix(signature, alias, outputs[alias], data_type, num_examples)
    classes, scores = outputs.get(_CLASSES_ALIAS), outputs.get(_SCORES_ALIAS)
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise InvalidArgumentError(
            "Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    # A side that the model lacks stays at the default of its field.
    shape = next(iter(outputs.values())).shape
    label_rows: Any = np.full(shape, b"", object) if classes is None else classes
    score_rows: Any = np.zeros(shape, np.float32) if scores is None else scores
    result = classification_pb2.ClassificationResult()
    for labels, values in zip(label_rows.tolist(), score_rows.tolist(), strict=True):
        add = result.classifications.add().classes.add  # twice as fast as extending by messages
        for label, value in zip(labels, values, strict=True):
            # A label is text in the reply: a client could not even parse other bytes.
            add(label=label.decode("utf-8", "replace"), score=value)
    return result


def _check_matrix(
    signature: Signature,
    alias: str,
    array: np.ndarray[Any, Any],
    data_type: int,
    num_examples: int,
) -> None:
    if array.ndim != _MATRIX_RANK:
        raise InvalidArgumentError(
            f"Expected Tensor shape: [batch_size num_classes] but got {_shape_text(array)}"
        )
    given = signature.outputs[alias].data_type
    if given != data_type:
        raise InvalidArgumentError(
            f"Expected {alias} Tensor of {types_pb2.DataType.Name(data_type)}. "
            f"Got: {types_pb2.DataType.Name(given)}"
        )
    if array.shape[0] != num_examples:
        raise InvalidArgumentError(
            f"Expected {alias} output batch size of {num_examples}. Got: {array.shape[0]}"
        )


def _shape_text(array: np.ndarray[Any, Any]) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _choose_regression_outputs(signature: Signature, definition: Any) -> tuple[str, ...]:
    _check_kind(signature, "regression", REGRESSION.method_name)
    if len(signature.outputs) != 1:
        raise InvalidArgumentError("Expected one output Tensor.")
    _check_inputs_alias(signature, "regression", definition)
    if _OUTPUTS_ALIAS not in signature.outputs:
        raise InvalidArgumentError(
            "No regression outputs found in SignatureDef: "
            f"{text_format.MessageToString(definition)}"
        )
    return (_OUTPUTS_ALIAS,)


def _make_regression(signature: Signature, outputs: Tensors, num_examples: int) -> Any:
    array = outputs[_OUTPUTS_ALIAS]
    if array.ndim != 1 and array.shape[1:] != (1,):
        raise InvalidArgumentError(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {_shape_text(array)}"
        )
    if array.shape[0] != num_examples:
        raise InvalidArgumentError(
            f"Input batch size did not match output batch size: {num_examples} vs. {array.shape[0]}"
        )
    given = signature.outputs[_OUTPUTS_ALIAS].data_type
    if given != types_pb2.DT_FLOAT:
        raise InvalidArgumentError(
            f"Expected output Tensor of DT_FLOAT.  Got: {types_pb2.DataType.Name(given)}"
        )
    result = regression_pb2.RegressionResult()
    result.regressions.extend(
        regression_pb2.Regression(value=value) for value in array.reshape(-1).tolist()
    )
    return result


CLASSIFICATION: Final = Head(
    "tensorflow/serving/classify",
    "classification_result",
    _choose_classification_outputs,
    _make_classification,
)
REGRESSION: Final = Head(
    "tensorflow/serving/regress",
    "regression_result",
    _choose_regression_outputs,
    _make_regression,
)
