"""The gRPC services: methods by name, messages in and out, errors as status codes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.model_server.errors import ServingError
from serving.model_server.request_scope import deadline_scope

PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"
MAX_MESSAGE_CHARACTERS: Final = 1024
"""TF Serving cuts status messages here; HTTP/2 headers have a size limit."""

Handler = Callable[[Any], Awaitable[Any]]

# Service -> method -> request and response. tensorflow-serving-api ships these descriptors in
# modules that cannot be imported with protobuf 4 and later.
METHODS: Final[Mapping[str, Mapping[str, tuple[Any, Any]]]] = {
    PREDICTION_SERVICE: {
        "Classify": (
            classification_pb2.ClassificationRequest,
            classification_pb2.ClassificationResponse,
        ),
        "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
        "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        "MultiInference": (
            inference_pb2.MultiInferenceRequest,
            inference_pb2.MultiInferenceResponse,
        ),
        "GetModelMetadata": (
            get_model_metadata_pb2.GetModelMetadataRequest,
            get_model_metadata_pb2.GetModelMetadataResponse,
        ),
    },
    MODEL_SERVICE: {
        "GetModelStatus": (
            get_model_status_pb2.GetModelStatusRequest,
            get_model_status_pb2.GetModelStatusResponse,
        ),
        "HandleReloadConfigRequest": (
            model_management_pb2.ReloadConfigRequest,
            model_management_pb2.ReloadConfigResponse,
        ),
    },
}
_FILES: Final = {
    PREDICTION_SERVICE: "tensorflow_serving/apis/prediction_service.proto",
    MODEL_SERVICE: "tensorflow_serving/apis/model_service.proto",
}


def make_generic_handler(service: str, handlers: Mapping[str, Handler]) -> Any:
    """Make the handler of a service for `grpc.aio.Server.add_generic_rpc_handlers`.

    Args:
        service: a key of `METHODS`.
        handlers: a coroutine function for each of its methods; it takes the request, returns
            the response, and raises ServingError.

    Returns:
        The handler.
    """
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            _with_status(handlers[name]),
            request_deserializer=request_class.FromString,
            response_serializer=response_class.SerializeToString,
        )
        for name, (request_class, response_class) in METHODS[service].items()
    }
    return grpc.method_handlers_generic_handler(service, methods)


def _with_status(handler: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
    async def answer(request: Any, context: Any) -> Any:
        try:
            with deadline_scope(context.time_remaining()):
                return await handler(request)
        except ServingError as error:
            code = _GRPC_CODES[error.code.value]
            return await context.abort(code, error.message[:MAX_MESSAGE_CHARACTERS])

    return answer


_GRPC_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


def register_descriptors() -> None:
    """Make the services known to the descriptor pool, from which reflection answers."""
    pool = descriptor_pool.Default()
    for service, methods in METHODS.items():
        package, _, name = service.rpartition(".")
        file = descriptor_pb2.FileDescriptorProto(
            name=_FILES[service], package=package, syntax="proto3"
        )
        definition = file.service.add(name=name)
        dependencies: set[str] = set()
        for method, (request_class, response_class) in methods.items():
            definition.method.add(
                name=method,
                input_type=f".{request_class.DESCRIPTOR.full_name}",
                output_type=f".{response_class.DESCRIPTOR.full_name}",
            )
            dependencies |= {m.DESCRIPTOR.file.name for m in (request_class, response_class)}
        file.dependency.extend(sorted(dependencies))
        pool.AddSerializedFile(file.SerializeToString())
