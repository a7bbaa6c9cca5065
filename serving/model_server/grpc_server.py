"""The gRPC side: what each method does, and the server that carries the services."""

import asyncio
import logging
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from configs.errors import ConfigError
from serving.model_server.config import models_from_proto
from serving.model_server.deployment import Deployment
from serving.model_server.errors import Code
from serving.model_server.flags import ServerFlags
from serving.model_server.grpc_services import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    Handler,
    make_generic_handler,
    register_descriptors,
)
from serving.model_server.inferrer import Inferrer
from serving.model_server.manager import Manager
from serving.model_server.metrics import ServerMetrics
from serving.model_server.predict import Predictor, model_metadata, read_selector

logger = logging.getLogger("loupe.model_server")

_INT32_MAX: Final = 2**31 - 1
_HEALTH_NAMES: Final = ("", "ModelService", "PredictionService")
_COUNTED_METHODS: Final = ("Predict", "Classify", "Regress")
"""Those that TF Serving counts."""


class GrpcServer:
    """PredictionService, ModelService, reflection and, by flag, health."""

    def __init__(
        self,
        flags: ServerFlags,
        predictor: Predictor,
        manager: Manager,
        deployment: Deployment,
        *,
        metrics: ServerMetrics | None = None,
        credentials: Any = None,
    ) -> None:
        self._flags = flags
        self._predictor = predictor
        self._inferrer = Inferrer(
            predictor.registry, predictor.runner, metrics.observe_examples if metrics else None
        )
        self._manager = manager
        self._deployment = deployment
        self._metrics = metrics
        self._credentials = credentials
        self._health = health.aio.HealthServicer()
        self._server: Any = grpc.aio.server(options=_channel_options(flags))

    async def start(self) -> None:
        """Open the port and the socket.

        Raises:
            ConfigError: the port is taken, or the socket's folder does not exist.
        """
        register_descriptors()
        self._server.add_generic_rpc_handlers((
            make_generic_handler(PREDICTION_SERVICE, self._counted(self._prediction_handlers())),
            make_generic_handler(
                MODEL_SERVICE,
                {
                    "GetModelStatus": self._get_model_status,
                    "HandleReloadConfigRequest": self._reload_config,
                },
            ),
        ))
        names = [PREDICTION_SERVICE, MODEL_SERVICE, reflection.SERVICE_NAME]
        if self._flags.enable_grpc_healthcheck_service:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            await self._set_health(health_pb2.HealthCheckResponse.SERVING)
            names.append(health.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        if self._flags.port:
            self._bind(f"0.0.0.0:{self._flags.port}", f"--port={self._flags.port}")
        if self._flags.grpc_socket_path:
            path = self._flags.grpc_socket_path
            self._bind(f"unix:{path}", f"--grpc_socket_path={path}")
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Accept nothing more and let calls in flight finish.

        Args:
            grace_seconds: after this time they are cancelled.
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.stop(grace_seconds)

    def _bind(self, address: str, flag: str) -> None:
        try:
            if self._credentials is None:
                self._server.add_insecure_port(address)
            else:
                self._server.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise ConfigError(
                f"{flag} cannot be opened: {error}. Stop what uses it, or choose another."
            ) from error
        logger.info("Running gRPC ModelServer at %s ...", address)

    async def _set_health(self, status: Any) -> None:
        for name in _HEALTH_NAMES:
            await self._health.set(name, status)

    def _prediction_handlers(self) -> dict[str, Handler]:
        return {
            "Predict": self._predictor.predict,
            "GetModelMetadata": self._get_model_metadata,
            "Classify": self._inferrer.classify,
            "Regress": self._inferrer.regress,
            "MultiInference": self._inferrer.multi_inference,
        }

    def _counted(self, handlers: dict[str, Handler]) -> dict[str, Handler]:
        if self._metrics is None:
            return handlers
        watched = {name: self._metrics.watch_rpc(name, handlers[name]) for name in _COUNTED_METHODS}
        return handlers | watched

    async def _get_model_metadata(self, request: Any) -> Any:
        selector = read_selector(request)
        return model_metadata(self._predictor.registry, selector, list(request.metadata_field))

    async def _get_model_status(self, request: Any) -> Any:
        selector = read_selector(request)
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in self._manager.statuses(selector.name, selector.version):
            entry = response.model_version_status.add(
                version=status.version, state=status.state.value
            )
            if status.error is not None:
                entry.status.error_code = status.error.code.value
                entry.status.error_message = status.error.message
            else:
                entry.status.error_code = Code.OK.value
        return response

    async def _reload_config(self, request: Any) -> Any:
        configs = models_from_proto(request.config)
        await asyncio.get_running_loop().run_in_executor(None, self._deployment.reload, configs)
        return model_management_pb2.ReloadConfigResponse()


def _channel_options(flags: ServerFlags) -> list[tuple[str, int | str]]:
    options: dict[str, int | str] = {
        "grpc.max_receive_message_length": _INT32_MAX,
        "grpc.max_send_message_length": _INT32_MAX,
        # Without this a second server on the same port would start, and share its requests.
        "grpc.so_reuseport": 0,
    }
    for argument in filter(None, flags.grpc_channel_arguments.split(",")):
        name, separator, value = argument.partition("=")
        if not separator:
            raise ConfigError(
                f"--grpc_channel_arguments has {argument!r}, expected name=value,name=value."
            )
        options[name] = int(value) if value.lstrip("-").isdigit() else value
    return list(options.items())
