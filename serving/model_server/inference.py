"""What Classify, Regress and MultiInference requests run, and the responses made of it.

Source: tensorflow_serving/servables/tensorflow/multi_inference.cc and util.cc; messages are theirs.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from serving.model_server.errors import Code, InvalidArgumentError, ServingError
from serving.model_server.heads import CLASSIFICATION, INPUTS_ALIAS, REGRESSION, Head
from serving.model_server.servable import DEFAULT_SIGNATURE, Servable, Signature, Tensors


@dataclasses.dataclass(frozen=True)
class Inference:
    """A checked request: what to run, and what to make of the outcome.

    Attributes:
        signature: what to run.
        inputs: its inputs.
        output_filter: the outputs to compute.
        make_response: turns the outputs by alias into the response message; raises
            InvalidArgumentError when the model's outputs have another shape or dtype than the
            call needs.
    """

    signature: Signature
    inputs: Tensors
    output_filter: tuple[str, ...]
    make_response: Callable[[Tensors], Any]


Plan = Callable[[Servable, Any], Inference]


@dataclasses.dataclass(frozen=True)
class _Task:
    head: Head
    signature: Signature
    tensor_names: dict[str, str]  # of the input and of the outputs to compute, by alias


def plan_classification(servable: Servable, request: Any) -> Inference:
    """Check a ClassificationRequest.

    Args:
        servable: the version that it is for.
        request: the request; of its ModelSpec only the signature name is looked at.

    Returns:
        What to run, and a maker of the ClassificationResponse.

    Raises:
        InvalidArgumentError: no or another kind of signature, or no examples.
    """
    response = classification_pb2.ClassificationResponse
    return _plan_one(servable, request, CLASSIFICATION, response)


def plan_regression(servable: Servable, request: Any) -> Inference:
    """Check a RegressionRequest.

    Args:
        servable: the version that it is for.
        request: the request; of its ModelSpec only the signature name is looked at.

    Returns:
        What to run, and a maker of the RegressionResponse.

    Raises:
        InvalidArgumentError: no or another kind of signature, or no examples.
    """
    return _plan_one(servable, request, REGRESSION, regression_pb2.RegressionResponse)


def _plan_one(
    servable: Servable, request: Any, head: Head, response_class: Callable[[], Any]
) -> Inference:
    name = request.model_spec.signature_name
    signature = _find_signature(servable, name, "No signature was found with the name:")
    output_filter = head.choose_outputs(signature, servable.signature_defs[signature.name])
    examples = _serialize_examples(request.input)

    def make_response(outputs: Tensors) -> Any:
        response = response_class()
        _fill_model_spec(response.model_spec, servable, signature)
        response.result.CopyFrom(head.make_result(signature, outputs, len(examples)))
        return response

    return Inference(signature, {INPUTS_ALIAS: examples}, output_filter, make_response)


def plan_multi_inference(servable: Servable, request: Any) -> Inference:
    """Check a MultiInferenceRequest, and join its signatures into one call of the model.

    Args:
        servable: the version that the first task asks for.
        request: the request.

    Returns:
        What to run, and a maker of the MultiInferenceResponse, results in the order of the tasks.

    Raises:
        ServingError: INVALID_ARGUMENT for no tasks, several models, a repeated or unknown
            signature, one that does not fit its task, or no examples; UNIMPLEMENTED for a
            method other than classify and regress.
    """
    tasks = _read_tasks(servable, request.tasks)
    examples = _serialize_examples(request.input)
    signature = _join(tasks)

    def make_response(outputs: Tensors) -> Any:
        response = inference_pb2.MultiInferenceResponse()
        for task in tasks:
            own = {
                alias: outputs[name]
                for alias, name in task.tensor_names.items()
                if alias != INPUTS_ALIAS
            }
            result = response.results.add()
            _fill_model_spec(result.model_spec, servable, task.signature)
            message = task.head.make_result(task.signature, own, len(examples))
            getattr(result, task.head.result_field).CopyFrom(message)
        return response

    return Inference(signature, dict.fromkeys(signature.inputs, examples), (), make_response)


def _read_tasks(servable: Servable, messages: Any) -> list[_Task]:
    if not messages:
        raise InvalidArgumentError("MultiInferenceRequest has no tasks. Give it at least one.")
    tasks: dict[str, _Task] = {}
    for message in messages:
        spec = message.model_spec
        if not spec.name:
            raise InvalidArgumentError("Found ModelSpec with an empty model name.")
        if spec.name != messages[0].model_spec.name:
            raise InvalidArgumentError(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = spec.signature_name or DEFAULT_SIGNATURE
        if name in tasks:
            raise InvalidArgumentError(f"Duplicate evaluation of signature: {name}")
        tasks[name] = _read_task(servable, name, message.method_name)
    return list(tasks.values())


def _read_task(servable: Servable, name: str, method_name: str) -> _Task:
    signature = _find_signature(servable, name, "Requested signature not found in model graph:")
    heads = {head.method_name: head for head in (CLASSIFICATION, REGRESSION)}
    if method_name not in heads:
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method_name}")
    head = heads[method_name]
    definition = servable.signature_defs[name]
    names = {INPUTS_ALIAS: definition.inputs[INPUTS_ALIAS].name}
    for alias in head.choose_outputs(signature, definition):
        names[alias] = definition.outputs[alias].name
    return _Task(head, signature, names)


def _join(tasks: list[_Task]) -> Signature:
    # Aliases are tensor names here: signatures may share an input, which is fed once, and an
    # output, which is computed once.
    inputs = {
        task.tensor_names[INPUTS_ALIAS]: task.signature.inputs[INPUTS_ALIAS] for task in tasks
    }
    outputs = {
        name: task.signature.outputs[alias]
        for task in tasks
        for alias, name in task.tensor_names.items()
        if alias != INPUTS_ALIAS
    }
    signature_names = ",".join(sorted(task.signature.name for task in tasks))
    return Signature(
        name=f"MultiInference({signature_names})",
        method_name="",
        inputs={name: dataclasses.replace(inputs[name], alias=name) for name in sorted(inputs)},
        outputs={name: dataclasses.replace(outputs[name], alias=name) for name in sorted(outputs)},
        run_function=tasks[0].signature.run_function,
    )


def _find_signature(servable: Servable, name: str, complaint: str) -> Signature:
    wanted = name or DEFAULT_SIGNATURE
    if wanted not in servable.signatures:
        raise InvalidArgumentError(f"{complaint} {wanted}")
    return servable.signatures[wanted]


def _serialize_examples(message: Any) -> np.ndarray[Any, Any]:
    kind = message.WhichOneof("kind")
    serialized: list[bytes] = []
    if kind == "example_list":
        serialized = [example.SerializeToString() for example in message.example_list.examples]
    elif kind == "example_list_with_context":
        with_context = message.example_list_with_context
        # Serialized messages written one after the other read as one, merged; of a feature that
        # both have, the last one counts: the example's own.
        context = with_context.context.SerializeToString()
        serialized = [context + example.SerializeToString() for example in with_context.examples]
    if not serialized:
        raise InvalidArgumentError("Input is empty.")
    examples = np.empty(len(serialized), object)
    examples[:] = serialized
    return examples


def _fill_model_spec(spec: Any, servable: Servable, signature: Signature) -> None:
    spec.name = servable.name
    spec.signature_name = signature.name
    spec.version.value = servable.version


PLANS: Final[dict[str, Plan]] = {
    "classify_log": plan_classification,
    "regress_log": plan_regression,
    "multi_inference_log": plan_multi_inference,
}
"""By the field of PredictionLog that records such a call."""
