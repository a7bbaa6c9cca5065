"""Lets images that are ready at the same moment travel in one call.

A call costs both sides half a millisecond, and a full batch costs a model server a third of what
its images cost one by one. Nobody waits for others: a call leaves with those that became ready in
one turn of the event loop, which is a single image as long as there is little to do.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from opentelemetry import trace

from serving.gateway.errors import UnprocessableError
from serving.gateway.model.errors import ModelGoneError
from serving.gateway.model.tensors import Arrays

Metadata = Sequence[tuple[str, str]]
"""gRPC metadata, such as the trace that a call belongs to."""

Answer = tuple[int, Arrays]
"""Version that answered, and its outputs."""

Ask = Callable[[bytes, float, Metadata], Awaitable[Answer]]
"""Asks for one image: the encoded image, the time limit in seconds, and what is sent along."""

Send = Callable[[Sequence[bytes], float, Metadata], Awaitable[Answer]]
"""The same for a batch of images."""

MAX_BYTES: Final = 1 << 20
"""Of a call of several images. Large ones take so long to decode that small ones shall not wait for
them, and a gRPC server accepts 4 MiB unless it is told otherwise."""

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(slots=True, eq=False)
class _Call:
    metadata: Metadata
    span: trace.Span
    images: list[bytes] = dataclasses.field(default_factory=list)
    num_bytes: int = 0
    seconds: float = 0.0
    num_waiting: int = 0
    num_answered_alone: int = 0
    task: asyncio.Task[Answer] = dataclasses.field(init=False)


class JointCalls:
    """Makes calls of up to so many images.

    Args:
        send: makes one call.
        max_images: of a call; 1 for a call of each image.
    """

    def __init__(self, send: Send, max_images: int) -> None:
        self._send = send
        self._max_images = max_images
        self._open: _Call | None = None

    @property
    def max_images(self) -> int:
        """Tell how many images a call takes.

        Returns:
            What was asked for, or less where the server refused that.
        """
        return self._max_images

    async def ask(self, image_bytes: bytes, seconds: float, metadata: Metadata) -> Answer:
        """Ask for one image, together with whatever else is ready.

        Args:
            image_bytes: the encoded image.
            seconds: time limit; a call lasts as long as the most patient of its images allows, so
                the caller must stop waiting by itself.
            metadata: sent along; that of the first image of a call counts.

        Returns:
            The answer, a batch of one.

        Raises:
            UnprocessableError: the model cannot read the image.
            GatewayError: as `send`.
        """
        call = self._join(image_bytes, metadata)
        place = len(call.images)
        call.images.append(image_bytes)
        call.num_bytes += len(image_bytes)
        call.seconds = max(call.seconds, seconds)
        try:
            answer = await self._wait(call)
        except UnprocessableError:
            if len(call.images) == 1:
                raise
            # One bad image is no reason to refuse the others.
            answer = await self._send([image_bytes], seconds, metadata)
            self._note_answered_alone(call)
            return answer
        return _take(answer, place, len(call.images))

    def _join(self, image_bytes: bytes, metadata: Metadata) -> _Call:
        call, span = self._open, trace.get_current_span()
        if (
            call is None
            or len(call.images) >= self._max_images
            or call.num_bytes + len(image_bytes) > MAX_BYTES
        ):
            call = self._open = _Call(metadata, span)
            call.task = asyncio.create_task(self._run(call))
        elif span.is_recording():
            # The server's own spans are children of the first image's.
            span.add_link(call.span.get_span_context())
        return call

    async def _run(self, call: _Call) -> Answer:
        # A task starts in the next turn of the loop: who was ready in this one has joined by then.
        self._close(call)
        return await self._send(call.images, call.seconds, call.metadata)

    async def _wait(self, call: _Call) -> Answer:
        call.num_waiting += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.num_waiting -= 1
            if not call.num_waiting:
                self._close(call)
                call.task.cancel()  # nobody is left; no effect on one that is done

    def _close(self, call: _Call) -> None:
        if self._open is call:
            self._open = None

    def _note_answered_alone(self, call: _Call) -> None:
        call.num_answered_alone += 1
        if call.num_answered_alone < len(call.images) or len(call.images) > self._max_images:
            return
        # No image was to blame: the server takes no batch of this size.
        self._max_images = max(1, len(call.images) // 2)
        _log.warning(
            "the model server refuses calls of several images that it answers one by one",
            images=len(call.images),
            max_images_from_now_on=self._max_images,
            fix="set LOUPE_GATEWAY_MODEL__MAX_IMAGES_PER_CALL to the server's max_batch_size",
        )


def _take(answer: Answer, place: int, num_images: int) -> Answer:
    if num_images == 1:
        return answer
    version, outputs = answer
    shapes = {name: value.shape for name, value in outputs.items()}
    if any(shape[:1] != (num_images,) for shape in shapes.values()):
        raise ModelGoneError(
            f"version {version} answers {shapes} to {num_images} images, expected {num_images} rows"
        )
    return version, {name: value[place : place + 1] for name, value in outputs.items()}
