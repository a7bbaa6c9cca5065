"""Lets images that are ready at the same moment travel in one call.

A call costs both sides half a millisecond, and a full batch costs a model server a third of what
its images cost one by one. Nobody waits for others: a call leaves with those that became ready in
one turn of the event loop, which is a single image as long as there is little to do.
"""

import asyncio
import dataclasses
import time
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


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """One image that the model is asked about.

    Attributes:
        image_bytes: the encoded image.
        num_pixels: its width times its height; 0 where that is not known.
        ends_at: `time.monotonic()` by which the answer must be there.
        metadata: sent along.
    """

    image_bytes: bytes
    num_pixels: int
    ends_at: float
    metadata: Metadata


Ask = Callable[[Question, float], Awaitable[Answer]]
"""Asks about one image, with a time limit in seconds."""

Send = Callable[[Sequence[bytes], float, Metadata], Awaitable[Answer]]
"""Makes a call: the encoded images, the time limit in seconds, and what is sent along."""

MAX_BYTES: Final = 1 << 20
"""Of a call of several images: a gRPC server accepts 4 MiB unless it is told otherwise."""
MAX_PIXELS: Final = 1 << 20
"""The same for pixels: large images take long to decode, and small ones shall not wait for them."""

_SIMILAR: Final = 0.95
_log = structlog.get_logger(__name__)


@dataclasses.dataclass(slots=True, eq=False)
class _Call:
    metadata: Metadata
    span: trace.Span
    seconds: float
    images: list[bytes] = dataclasses.field(default_factory=list)
    num_bytes: int = 0
    num_pixels: int = 0
    num_waiting: int = 0
    num_answered_alone: int = 0
    task: asyncio.Task[Answer] = dataclasses.field(init=False)

    def has_room(self, question: Question, seconds: float) -> bool:
        # One call has one time limit, so those who share it must have about as much time.
        is_similar = min(seconds, self.seconds) >= _SIMILAR * max(seconds, self.seconds)
        num_bytes = self.num_bytes + len(question.image_bytes)
        num_pixels = self.num_pixels + question.num_pixels
        return is_similar and num_bytes <= MAX_BYTES and num_pixels <= MAX_PIXELS

    def add(self, question: Question, seconds: float) -> int:
        self.images.append(question.image_bytes)
        self.num_bytes += len(question.image_bytes)
        self.num_pixels += question.num_pixels
        self.seconds = min(self.seconds, seconds)
        return len(self.images) - 1


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

    async def ask(self, question: Question, seconds: float) -> Answer:
        """Ask about one image, together with whatever else is ready.

        Args:
            question: the image; the metadata of the first one of a call is sent along.
            seconds: time limit; a call may end a little earlier, for the sake of another image.

        Returns:
            The answer, a batch of one.

        Raises:
            UnprocessableError: the model cannot read the image.
            GatewayError: as `send`.
        """
        ends_at = time.monotonic() + seconds
        call = self._join(question, seconds)
        place = call.add(question, seconds)
        try:
            answer = await self._wait(call)
        except UnprocessableError:
            if len(call.images) == 1:
                raise
            # One bad image is no reason to refuse the others.
            seconds_left = max(0.0, ends_at - time.monotonic())
            answer = await self._send([question.image_bytes], seconds_left, question.metadata)
            self._note_answered_alone(call)
            return answer
        return _take(answer, place, len(call.images))

    def close(self) -> None:
        """Cancel the call that has not left yet."""
        if self._open is not None:
            self._open.task.cancel()
            self._open = None

    def _join(self, question: Question, seconds: float) -> _Call:
        call, span = self._open, trace.get_current_span()
        is_full = call is not None and len(call.images) >= self._max_images
        if call is None or is_full or not call.has_room(question, seconds):
            call = self._open = _Call(question.metadata, span, seconds)
            call.task = asyncio.create_task(self._run(call))
        elif span.is_recording():
            # The server's own spans are children of the first image's.
            span.add_link(call.span.get_span_context())
        return call

    async def _run(self, call: _Call) -> Answer:
        # A task starts in the next turn of the loop: who was ready in this one has joined by then.
        self._leave(call)
        return await self._send(call.images, call.seconds, call.metadata)

    async def _wait(self, call: _Call) -> Answer:
        call.num_waiting += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.num_waiting -= 1
            if not call.num_waiting:
                self._leave(call)
                call.task.cancel()  # nobody is left; no effect on one that is done
                # An error keeps these frames, and with them the call: a task that keeps the error
                # would close a circle around the images until the garbage collector comes.
                del call.task

    def _leave(self, call: _Call) -> None:
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
