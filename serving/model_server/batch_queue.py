"""Requests that wait for one signature of one version, gathered into batches."""

import asyncio
import dataclasses
import math
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Final

from serving.model_server.batch_tensors import join_rows, shape_bucket, slice_rows
from serving.model_server.batching_parameters import BatchingParameters
from serving.model_server.errors import Code, InvalidArgumentError, ServingError
from serving.model_server.servable import Servable, Signature, Tensors, TensorSpec

_MICROSECONDS: Final = 1e-6
_AT_ONCE: Final = -math.inf


class Request:
    """One call that waits for its answer; touched by the event loop only, but for `batches`."""

    def __init__(
        self,
        inputs: Tensors,
        num_rows: int,
        enqueued_at: float,
        deadline: float,
        future: asyncio.Future[Tensors],
    ) -> None:
        self.inputs = inputs
        self.num_rows = num_rows
        self.enqueued_at = enqueued_at
        self.deadline = deadline
        self.batches: list[Batch] = []
        self._future = future
        self._outcomes: dict[int, Tensors | ServingError] = {}

    def finish_piece(self, index: int, outcome: Tensors | ServingError) -> None:
        """Take in the answer to some of the rows; the last one wakes the caller.

        Args:
            index: which of the request's pieces.
            outcome: the piece's outputs, or why there are none.
        """
        self._outcomes[index] = outcome
        if len(self._outcomes) < len(self.batches) or self._future.done():
            return
        parts: list[Tensors] = []
        for _, part in sorted(self._outcomes.items()):
            if isinstance(part, ServingError):
                # A new one each: an exception that many callers raise collects all their frames.
                self._future.set_exception(ServingError(part.code, part.message))
                return
            parts.append(part)
        try:
            self._future.set_result(join_rows(parts))
        except ServingError as error:
            self._future.set_exception(error)


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """The rows of a request that are in one batch.

    Attributes:
        request: whose they are.
        index: which of the request's pieces.
        inputs: the rows.
        num_rows: how many.
    """

    request: Request
    index: int
    inputs: Tensors
    num_rows: int


@dataclasses.dataclass(eq=False, slots=True)
class Batch:
    """Requests that run together.

    Attributes:
        queue: where it waits.
        bucket: the shapes that fit in.
        due_at: monotonic time from which a free thread takes it although it is not full, seconds.
        pieces: what is in it, in the order of arrival.
        num_rows: rows without padding.
        is_taken: whether a thread has it.
    """

    queue: "BatchQueue"
    bucket: Hashable
    due_at: float
    pieces: list[Piece] = dataclasses.field(default_factory=list[Piece])
    num_rows: int = 0
    is_taken: bool = False


class BatchQueue:
    """The batches of one (version, signature, outputs); whoever calls it holds the queues' lock.

    There is one open batch per shape bucket. A request that does not fit in closes it, and opens
    the next one while fewer than `max_enqueued_batches` wait.

    Source: `Queue`, tensorflow/core/kernels/batching_util/shared_batch_scheduler.h.
    """

    def __init__(
        self,
        servable: Servable,
        signature: Signature,
        outputs: Sequence[TensorSpec],
        parameters: BatchingParameters,
    ) -> None:
        self.servable = servable
        self.signature = signature
        self.outputs = outputs
        self.parameters = parameters
        self._waiting: deque[Batch] = deque()
        self._open: dict[Hashable, Batch] = {}

    def add(self, request: Request, now: float) -> bool:
        """Let a request wait.

        Args:
            request: the request.
            now: monotonic time, seconds.

        Returns:
            Whether a batch became full.

        Raises:
            InvalidArgumentError: more rows than a batch may have.
            ServingError: UNAVAILABLE; the queue is full.
        """
        parameters = self.parameters
        if request.num_rows > parameters.max_batch_size:
            raise InvalidArgumentError(
                f"Task size {request.num_rows} is larger than maximum input batch size "
                f"{parameters.max_batch_size}"
            )
        limit = parameters.rows_per_batch
        # The pieces of one request must not be padded to different shapes: it is split, or padded.
        can_pad = parameters.pad_variable_length_inputs and request.num_rows <= limit
        can_split = parameters.enable_large_batch_splitting and not can_pad
        bucket = shape_bucket(request.inputs, can_pad_columns=can_pad)
        open_batch = self._open.get(bucket)
        room = limit - open_batch.num_rows if open_batch else 0
        needs_batch = open_batch is None or request.num_rows > room
        self._check_capacity(request.num_rows, room if can_split else None, needs_batch=needs_batch)
        is_split = can_split and request.num_rows > room
        sizes = self._piece_sizes(request.num_rows, room) if is_split else [request.num_rows]
        parts = slice_rows(request.inputs, sizes) if len(sizes) > 1 else [request.inputs]
        is_full = False
        for index, (part, size) in enumerate(zip(parts, sizes, strict=True)):
            piece = Piece(request, index, part, size)
            is_full |= self._add_piece(piece, bucket, now)
        return is_full

    def take(self, now: float) -> Batch | None:
        """Take the next batch that is full or has waited long enough.

        Args:
            now: monotonic time, seconds.

        Returns:
            The batch, or None when all are to wait for more rows.
        """
        for batch in self._waiting:
            if batch.due_at <= now:
                batch.is_taken = True
                self._remove(batch)
                return batch
        return None

    def discard(self, request: Request) -> None:
        """Remove a request that nobody waits for any more; what a thread has taken runs on.

        Args:
            request: a request of this queue.
        """
        for batch in request.batches:
            if not batch.is_taken:
                batch.pieces = [piece for piece in batch.pieces if piece.request is not request]
                batch.num_rows = sum(piece.num_rows for piece in batch.pieces)
                if not batch.pieces:
                    self._remove(batch)

    def next_due_at(self) -> float:
        """Tell when a thread should look again.

        Returns:
            Monotonic time in seconds; infinite when nothing waits.
        """
        return min((batch.due_at for batch in self._waiting), default=math.inf)

    def is_empty(self) -> bool:
        """Tell whether nothing waits.

        Returns:
            True when the queue can be forgotten.
        """
        return not self._waiting

    def _check_capacity(self, num_rows: int, split_room: int | None, *, needs_batch: bool) -> None:
        waiting, most = len(self._waiting), self.parameters.max_enqueued_batches
        is_full = needs_batch and waiting >= most
        reason = f"currently {waiting} batches enqueued and max_enqueued_batches is {most}"
        if split_room is not None:
            size = self.parameters.rows_per_batch
            capacity = (most - waiting) * size + split_room
            is_full |= num_rows > capacity
            reason = (
                f"task size is {num_rows} but scheduling capacity is only {capacity} "
                f"(num_enqueued_batches={waiting}, max_enqueued_batches={most}, "
                f"max_execution_batch_size={size})"
            )
        if is_full:
            raise ServingError(
                Code.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; " + reason,
            )

    def _piece_sizes(self, num_rows: int, room: int) -> list[int]:
        full_batches, rest = divmod(num_rows - room, self.parameters.rows_per_batch)
        sizes = [room, *([self.parameters.rows_per_batch] * full_batches), rest]
        return [size for size in sizes if size]

    def _add_piece(self, piece: Piece, bucket: Hashable, now: float) -> bool:
        limit = self.parameters.rows_per_batch
        batch = self._open.get(bucket)
        is_full = False
        if batch is None or batch.num_rows + piece.num_rows > limit:
            if batch is not None:
                batch.due_at = _AT_ONCE
                is_full = True
            due_at = now + self.parameters.batch_timeout_micros * _MICROSECONDS
            batch = self._open[bucket] = Batch(self, bucket, due_at)
            self._waiting.append(batch)
        batch.pieces.append(piece)
        batch.num_rows += piece.num_rows
        piece.request.batches.append(batch)
        if batch.num_rows >= limit:
            batch.due_at = _AT_ONCE
            is_full = True
        return is_full

    def _remove(self, batch: Batch) -> None:
        self._waiting.remove(batch)
        if self._open.get(batch.bucket) is batch:
            del self._open[batch.bucket]
