"""What a request does between its transport and the model: look up, check, run, write."""

import contextlib
import dataclasses
from typing import Any

from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from serving.model_server import json_predict
from serving.model_server.errors import InvalidArgumentError, ServingError
from serving.model_server.json_worker import JsonWorker, is_slow_to_read
from serving.model_server.registry import ModelSelector, Registry
from serving.model_server.runner import ModelCall, Runner
from serving.model_server.servable import DEFAULT_SIGNATURE, Signature
from serving.model_server.tensor_proto import read_tensor, write_tensor

METADATA_FIELD = "signature_def"


@dataclasses.dataclass(frozen=True)
class Predictor:
    """Answers predictions in both forms, proto and JSON.

    Attributes:
        registry: the versions that answer.
        runner: where the model is called.
        as_content: write outputs of protos into tensor_content.
        json_worker: where large JSON bodies are read; None for here.
    """

    registry: Registry
    runner: Runner
    as_content: bool = False
    json_worker: JsonWorker | None = None

    async def predict(self, request: Any) -> Any:
        """Answer a PredictRequest.

        Args:
            request: the PredictRequest.

        Returns:
            The PredictResponse.

        Raises:
            ServingError: the request or the model call is wrong.
        """
        with self.registry.lease(read_selector(request)) as servable:
            signature = servable.signature(request.model_spec.signature_name)
            signature.check_input_names(list(request.inputs))
            inputs = {
                alias: read_tensor(proto, signature.inputs[alias])
                for alias, proto in request.inputs.items()
            }
            output_filter = tuple(request.output_filter)
            outputs = await self.runner.run(ModelCall(servable, signature, inputs, output_filter))
            response = predict_pb2.PredictResponse()
            response.model_spec.name = servable.name
            response.model_spec.signature_name = signature.name
            response.model_spec.version.value = servable.version
        for alias, array in outputs.items():
            proto = response.outputs[alias]
            write_tensor(array, signature.outputs[alias], proto, as_content=self.as_content)
        return response

    async def predict_json(self, selector: ModelSelector, body: bytes) -> bytes:
        """Answer the body of a `:predict`.

        Args:
            selector: the version asked for.
            body: JSON.

        Returns:
            JSON.

        Raises:
            ServingError: the request or the model call is wrong.
        """
        if self.json_worker and is_slow_to_read(body):
            return await self._predict_large_json(selector, body, self.json_worker)
        parsed = json_predict.parse_body(body)
        with self.registry.lease(selector) as servable:
            signature = _signature_of_rest(servable.signatures, parsed.signature_name)
            inputs, reply_format = json_predict.read_inputs(parsed, signature)
            outputs = await self.runner.run(ModelCall(servable, signature, inputs))
        return json_predict.write_reply(outputs, reply_format)

    async def _predict_large_json(
        self, selector: ModelSelector, body: bytes, worker: JsonWorker
    ) -> bytes:
        with contextlib.ExitStack() as stack:
            try:
                servable = stack.enter_context(self.registry.lease(selector))
            except ServingError:
                await worker.read(body, {})  # that a body is no JSON is said first
                raise
            parsed = await worker.read(body, servable.signatures)
            signature = _signature_of_rest(servable.signatures, parsed.signature_name)
            outputs = await self.runner.run(ModelCall(servable, signature, parsed.inputs))
        return json_predict.write_reply(outputs, parsed.reply_format)


def _signature_of_rest(signatures: dict[str, Signature], name: str) -> Signature:
    wanted = name or DEFAULT_SIGNATURE
    if wanted not in signatures:
        raise InvalidArgumentError(f'Serving signature name: "{wanted}" not found in signature def')
    return signatures[wanted]


def read_selector(request: Any) -> ModelSelector:
    """Read the ModelSpec of a request.

    Args:
        request: any message with a `model_spec`.

    Returns:
        The version it asks for.

    Raises:
        InvalidArgumentError: there is no ModelSpec.
    """
    if not request.HasField("model_spec"):
        raise InvalidArgumentError("Missing ModelSpec")
    spec = request.model_spec
    choice = spec.WhichOneof("version_choice")
    return ModelSelector(
        name=spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
    )


def model_metadata(registry: Registry, selector: ModelSelector, fields: list[str]) -> Any:
    """Answer a GetModelMetadataRequest.

    Args:
        registry: the versions that answer.
        selector: the version asked for.
        fields: what to tell; `signature_def` is all there is.

    Returns:
        The GetModelMetadataResponse.

    Raises:
        InvalidArgumentError: no field or an unknown one.
        ServingError: as `Registry.lease`.
    """
    if not fields:
        raise InvalidArgumentError(
            "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in fields:
        if field != METADATA_FIELD:
            raise InvalidArgumentError(f"Metadata field {field} is not supported")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with registry.lease(selector) as servable:
        for name, definition in servable.signature_defs.items():
            signatures.signature_def[name].CopyFrom(definition)
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
    response.metadata[METADATA_FIELD].Pack(signatures)
    return response
