"""Asks a model server over gRPC: ours, or tensorflow_model_server."""

import asyncio
import dataclasses
import json
import random
import time
from collections.abc import Sequence
from typing import Any, Final

import grpc
import numpy as np
from numpy.typing import NDArray

from configs.errors import UpstreamError
from schema.features import INPUT_IMAGE_BYTES, OUTPUT_HEAT_MAP, Signature
from serving.gateway.model.answers import ANSWER_OUTPUTS, ModelAnswer, make_answer, read_classes
from serving.gateway.model.breaker import Breaker, BreakerOpenError, BreakerState
from serving.gateway.model.errors import (
    BREAKER_FAILURES,
    ModelGoneError,
    ModelTimeoutError,
    to_gateway_error,
)
from serving.gateway.model.joint_calls import Answer, Ask, JointCalls, Metadata, Question
from serving.gateway.model.protos import (
    PREDICT_METHOD,
    STATUS_METHOD,
    GetModelStatusRequest,
    GetModelStatusResponse,
    PredictRequest,
    PredictResponse,
    VersionState,
)
from serving.gateway.model.tensors import add_images, read_outputs
from serving.gateway.settings import ModelServerSettings

_METHODS: Final = {
    PREDICT_METHOD: (PredictRequest, PredictResponse),
    STATUS_METHOD: (GetModelStatusRequest, GetModelStatusResponse),
}

_RETRY_SECONDS: Final = (0.02, 0.1)
_MAX_KNOWN_VERSIONS: Final = 64
_CHANNEL_OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC waits for up to two minutes before it looks again for a server that went away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also what connecting may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Else a new channel to the same address takes over the dead connection of the old one.
    ("grpc.use_local_subchannel_pool", 1),
    # A name may stand for several servers, each with its share of the calls.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)


@dataclasses.dataclass(frozen=True, slots=True)
class VersionStatus:
    """State of one version, as the model server tells it.

    Attributes:
        version: the version.
        state: what the server does with it.
        error: why it could not be loaded; empty when nothing is wrong.
    """

    version: int
    state: VersionState
    error: str


class ModelClient:
    """One connection to one model of one server; made inside a running event loop.

    Args:
        settings: where the server is, and how long it may take.
    """

    def __init__(self, settings: ModelServerSettings) -> None:
        self._settings = settings
        self._breaker = Breaker(
            settings.breaker_failures,
            settings.breaker_seconds,
            failures=BREAKER_FAILURES,
            on_open=self._connect_again,
        )
        self._classes: dict[int, tuple[str, ...]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._channel = self._connect()
        self._joint_calls = JointCalls(self._ask_for_answers, settings.max_images_per_call)

    @property
    def breaker_state(self) -> BreakerState:
        """Tell what happens to the next call.

        Returns:
            The state of the circuit breaker.
        """
        return self._breaker.state

    @property
    def newest_classes(self) -> tuple[str, ...]:
        """List the classes of the newest version that has answered.

        Returns:
            Names in the order of its probabilities; empty when nothing is known.
        """
        return self._classes[max(self._classes)] if self._classes else ()

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        self._joint_calls.close()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close()

    async def predict(
        self,
        image_bytes: bytes,
        *,
        budget_seconds: float,
        metadata: Metadata = (),
        num_pixels: int = 0,
    ) -> ModelAnswer:
        """Ask what an image shows.

        Args:
            image_bytes: the encoded image.
            budget_seconds: time for all attempts together.
            metadata: sent along.
            num_pixels: width times height, so that a large image keeps no small one waiting; 0
                where that is not known.

        Returns:
            The answer.

        Raises:
            ModelGoneError: no server, or none that serves this model.
            ModelTimeoutError: no answer in time.
            BreakerOpenError: the server was not asked, because it failed before.
            OverloadedError: the server refused because it has too much to do.
            UnprocessableError: the model cannot decode the image.
        """
        started = time.monotonic()
        question = Question(image_bytes, num_pixels, started + budget_seconds, metadata)
        # Class names are the same for every image of a version: asked for once.
        knows_classes = bool(self._classes)
        ask = self._joint_calls.ask if knows_classes else self._ask_for_everything
        version, outputs = await self._try(question, ask)
        if version not in self._classes:
            if knows_classes:
                version, outputs = await self._try(question, self._ask_for_everything)
            self._remember_classes(version, read_classes(outputs))
        model_ms = 1000 * (time.monotonic() - started)
        try:
            return make_answer(
                outputs, classes=self._classes[version], version=version, model_ms=model_ms
            )
        except UpstreamError as error:
            raise ModelGoneError(str(error)) from error

    async def explain(
        self, image_bytes: bytes, *, budget_seconds: float, metadata: Metadata = ()
    ) -> NDArray[np.float32]:
        """Ask which parts of an image made the answer.

        Args:
            image_bytes: the encoded image.
            budget_seconds: time for all attempts together.
            metadata: sent along.

        Returns:
            float32 (height, width), 0..1, upright.

        Raises:
            NotFoundError: the version that answers cannot explain itself.
            ModelGoneError: no server, or an answer that is no heat map; others as `predict`.
        """
        question = Question(image_bytes, 0, time.monotonic() + budget_seconds, metadata)
        version, outputs = await self._try(question, self._ask_for_explanation)
        heat_map = outputs.get(OUTPUT_HEAT_MAP)
        if heat_map is None or heat_map.ndim != 3 or not heat_map[0].size:
            raise ModelGoneError(
                f"signature '{Signature.EXPLAIN}' of version {version} answers "
                f"{ {name: value.shape for name, value in outputs.items()} }, expected "
                f"'{OUTPUT_HEAT_MAP}' (1, height, width)"
            )
        return heat_map[0].astype(np.float32)

    async def statuses(self) -> list[VersionStatus]:
        """Ask for the states of the model's versions; the breaker is not asked.

        Returns:
            One entry per version, newest first.

        Raises:
            GatewayError: no server, or no such model.
        """
        request = GetModelStatusRequest()
        request.model_spec.name = self._settings.name
        response = await self._send(STATUS_METHOD, request, self._settings.timeout_seconds, ())
        known = set(VersionState)
        entries = [
            VersionStatus(
                version=entry.version,
                state=VersionState(entry.state if entry.state in known else VersionState.UNKNOWN),
                error=entry.status.error_message,
            )
            for entry in response.model_version_status
        ]
        return sorted(entries, key=lambda entry: -entry.version)

    async def _try(self, question: Question, ask: Ask) -> Answer:
        attempts_left = self._settings.max_attempts
        failure: ModelGoneError | None = None
        try:
            while True:
                attempts_left -= 1
                try:
                    return await self._attempt(question, ask)
                except BreakerOpenError:
                    if failure is not None:  # which opened it
                        raise failure from None
                    raise
                except ModelGoneError as error:
                    if not (error.is_worth_retrying and attempts_left):
                        raise
                    failure = error
                await asyncio.sleep(random.uniform(*_RETRY_SECONDS))  # noqa: S311 - no secret
        finally:
            failure = None  # it keeps this frame, and the image with it

    async def _attempt(self, question: Question, ask: Ask) -> Answer:
        seconds = min(self._settings.timeout_seconds, question.ends_at - time.monotonic())
        if seconds <= 0:
            raise ModelTimeoutError(f"{self._where(PREDICT_METHOD)}: no time is left to ask")
        return await ask(question, seconds)

    async def _ask_for_answers(
        self, images: Sequence[bytes], seconds: float, metadata: Metadata
    ) -> Answer:
        request = self._make_request(Signature.SERVING_DEFAULT, images)
        request.output_filter.extend(ANSWER_OUTPUTS)
        return await self._send_predict(request, seconds, metadata)

    async def _ask_for_everything(self, question: Question, seconds: float) -> Answer:
        request = self._make_request(Signature.SERVING_DEFAULT, [question.image_bytes])
        return await self._send_predict(request, seconds, question.metadata)

    async def _ask_for_explanation(self, question: Question, seconds: float) -> Answer:
        request = self._make_request(Signature.EXPLAIN, [question.image_bytes])
        return await self._send_predict(request, seconds, question.metadata)

    def _make_request(self, signature: Signature, images: Sequence[bytes]) -> Any:
        request = PredictRequest()
        request.model_spec.name = self._settings.name
        request.model_spec.signature_name = signature
        if self._settings.label:
            request.model_spec.version_label = self._settings.label
        add_images(request, INPUT_IMAGE_BYTES, images)
        return request

    async def _send_predict(self, request: Any, seconds: float, metadata: Metadata) -> Answer:
        with self._breaker.watch():  # counts calls, however many images one carries
            response = await self._send(PREDICT_METHOD, request, seconds, metadata)
            try:
                return response.model_spec.version.value, read_outputs(response)
            except UpstreamError as error:
                raise ModelGoneError(str(error)) from error

    async def _send(self, method: str, request: Any, seconds: float, metadata: Metadata) -> Any:
        try:
            return await self._stubs[method](request, timeout=seconds, metadata=tuple(metadata))
        except grpc.RpcError as error:
            raise to_gateway_error(error, self._where(method), seconds) from error

    def _where(self, method: str) -> str:
        return f"{method.rpartition('/')[2]} of model '{self._settings.name}'"

    def _remember_classes(self, version: int, classes: tuple[str, ...]) -> None:
        while len(self._classes) >= _MAX_KNOWN_VERSIONS:
            del self._classes[next(iter(self._classes))]
        self._classes[version] = classes

    def _connect(self) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(self._settings.grpc_address, options=_CHANNEL_OPTIONS)
        self._stubs = {
            method: channel.unary_unary(
                method,
                request_serializer=request_class.SerializeToString,
                response_deserializer=response_class.FromString,
            )
            for method, (request_class, response_class) in _METHODS.items()
        }
        return channel

    def _connect_again(self) -> None:
        # A connection to a machine that vanished looks alive for a quarter of an hour. Its calls
        # end by their own time limit; closing earlier would look to them like being cancelled.
        old, self._channel = self._channel, self._connect()
        task = asyncio.get_running_loop().create_task(old.close(2 * self._settings.timeout_seconds))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
