"""The batch scheduler: one pool of threads for all models, which take what waits when free."""

import asyncio
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Final

from serving.model_server.batch_queue import Batch, BatchQueue, Piece, Request
from serving.model_server.batch_tensors import count_rows, merge_inputs, split_outputs
from serving.model_server.batching_parameters import BatchingParameters
from serving.model_server.errors import Code, ServingError, to_serving_error
from serving.model_server.servable import Servable, Signature, Tensors, TensorSpec

logger = logging.getLogger("loupe.model_server")

_MILLISECONDS: Final = 1e-3
_SIGNIFICANT_BITS: Final = 5
# What says nothing about the single requests of a batch, so that running them apart is no help.
_NOT_OF_ONE_REQUEST: Final = (
    Code.CANCELLED,
    Code.DEADLINE_EXCEEDED,
    Code.RESOURCE_EXHAUSTED,
    Code.UNAVAILABLE,
)


@dataclasses.dataclass(frozen=True)
class BatchReport:
    """What happened to one batch, for metrics.

    Attributes:
        thread_pool_name: the pool it ran in.
        queuing_seconds: for each request or piece of one in it, the time between call and start.
        input_batch_sizes: rows of each request whose first rows are in it.
        processed_batch_size: rows that the model was given, padding included.
        padding_size: rows of padding.
    """

    thread_pool_name: str
    queuing_seconds: tuple[float, ...]
    input_batch_sizes: tuple[int, ...]
    processed_batch_size: int
    padding_size: int


Observer = Callable[[BatchReport], None]
"""Called in a thread of the pool before each batch; it must be quick, and not raise."""

_Key = tuple[Servable, str, frozenset[str]]


class BatchScheduler:
    """Runs the requests to all models in batches.

    Queues exist while something waits in them, so an unloaded version leaves nothing behind; they
    belong to the event loop, which hands their batches to free threads, queue by queue. It hands
    out what is not full only after it has read all requests that are there: a thread that took the
    first one at once would leave the others to ever smaller batches.
    """

    def __init__(
        self,
        parameters: BatchingParameters,
        loop: asyncio.AbstractEventLoop,
        observer: Observer | None = None,
    ) -> None:
        """Start the threads.

        Args:
            parameters: number and name of the threads; limits come with each version.
            loop: where calls are awaited.
            observer: told about each batch.
        """
        self._loop = loop
        self._observer = observer
        self._pool_name = parameters.thread_pool_name
        self._queues: dict[_Key, BatchQueue] = {}
        self._num_free = parameters.num_batch_threads
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        self._is_looking = False
        self._clock: asyncio.TimerHandle | None = None
        self._threads = [
            threading.Thread(target=self._serve, name=f"{self._pool_name}_{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Tensors,
        outputs: Sequence[TensorSpec],
        timeout_ms: int,
        parameters: BatchingParameters,
    ) -> Tensors:
        """Run a signature in company.

        Args:
            servable: the version, leased by the caller.
            signature: one of its signatures.
            inputs: a value for each input, with the same number of rows.
            outputs: what to compute.
            timeout_ms: longest wait and call together, milliseconds; 0 for no limit. A batch runs
                for as long as the most patient of its requests allows.
            parameters: the version's limits.

        Returns:
            The outputs by alias, this request's rows of each.

        Raises:
            ServingError: INVALID_ARGUMENT, no batch dimension or too many rows; UNAVAILABLE, the
                queue is full; RESOURCE_EXHAUSTED, the time limit passed in the queue;
                FAILED_PRECONDITION, an output without the batch dimension; or the model's error.
            CancelledError: the caller was cancelled; the request has left the queue.
        """
        now = time.monotonic()
        deadline = now + timeout_ms * _MILLISECONDS if timeout_ms > 0 else math.inf
        future: asyncio.Future[Tensors] = self._loop.create_future()
        request = Request(inputs, count_rows(inputs), now, deadline, future)
        key = (servable, signature.name, frozenset(spec.alias for spec in outputs))
        queue = self._queues.get(key)
        if queue is None:
            queue = BatchQueue(servable, signature, outputs, parameters)
        is_full = queue.add(request, now)
        self._queues[key] = queue
        if is_full:
            self._hand_out()
        else:
            self._look_later()
        try:
            return await future
        except asyncio.CancelledError:
            queue.discard(request)
            if queue.is_empty() and self._queues.get(key) is queue:
                del self._queues[key]
            raise

    def close(self) -> None:
        """End the threads after the batches that run; what still waits is never run."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _look_later(self) -> None:
        if self._num_free and not self._is_looking:
            self._is_looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._is_looking = False
        self._hand_out()

    def _hand_out(self) -> None:
        now = time.monotonic()
        while self._num_free and (batch := self._take(now)) is not None:
            # A caller in the queue holds a lease; this one outlives its cancellation.
            batch.queue.servable.extend_lease()
            self._num_free -= 1
            self._work.put(batch)
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        if self._num_free and self._queues:
            due_in = min(queue.next_due_at() for queue in self._queues.values()) - now
            self._clock = self._loop.call_later(due_in, self._hand_out)

    def _take(self, now: float) -> Batch | None:
        for key, queue in self._queues.items():
            batch = queue.take(now)
            if batch is not None:
                del self._queues[key]
                if not queue.is_empty():
                    self._queues[key] = queue  # at the end: the others are next
                return batch
        return None

    def _serve(self) -> None:
        while (batch := self._work.get()) is not None:
            # Whatever a batch raises is the answer of its callers, never the end of this thread.
            try:
                outcomes = self._run_batch(batch)
            except Exception as error:
                logger.exception("a batch failed")
                outcomes = _same_for_all(to_serving_error(error), batch.pieces)
            batch.queue.servable.release()
            try:
                self._loop.call_soon_threadsafe(self._deliver, batch.pieces, outcomes)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

    def _deliver(self, pieces: Sequence[Piece], outcomes: Sequence[Tensors | ServingError]) -> None:
        self._num_free += 1
        for piece, outcome in zip(pieces, outcomes, strict=True):
            piece.request.finish_piece(piece.index, outcome)
        self._look_later()

    def _run_batch(self, batch: Batch) -> list[Tensors | ServingError]:
        started = time.monotonic()
        padding = batch.queue.parameters.count_padding_rows(batch.num_rows)
        if self._observer is not None:
            self._observer(_make_report(self._pool_name, batch, started, padding))
        deadline = max(piece.request.deadline for piece in batch.pieces)
        if deadline <= started:
            text = "Run() timeout exceeded while waiting in batching queue"
            return _same_for_all(ServingError(Code.RESOURCE_EXHAUSTED, text), batch.pieces)
        return _run_pieces(batch.queue, batch.pieces, deadline)


def _make_report(pool_name: str, batch: Batch, started: float, padding: int) -> BatchReport:
    requests = [piece.request for piece in batch.pieces]
    return BatchReport(
        thread_pool_name=pool_name,
        queuing_seconds=tuple(started - request.enqueued_at for request in requests),
        input_batch_sizes=tuple(p.request.num_rows for p in batch.pieces if p.index == 0),
        processed_batch_size=batch.num_rows + padding,
        padding_size=padding,
    )


def _run_pieces(
    queue: BatchQueue, pieces: list[Piece], deadline: float
) -> list[Tensors | ServingError]:
    sizes = [piece.num_rows for piece in pieces]
    padding = queue.parameters.count_padding_rows(sum(sizes))
    inputs = merge_inputs([piece.inputs for piece in pieces], padding)
    try:
        outputs = queue.signature.run(inputs, queue.outputs, _timeout_ms(deadline))
    except ServingError as error:
        if len(pieces) == 1 or error.code in _NOT_OF_ONE_REQUEST:
            return _same_for_all(error, pieces)
        # One broken image fails the whole call. Halving the batch finds it, and the others are
        # answered; TF Serving fails them all.
        half = len(pieces) // 2
        first = _run_pieces(queue, pieces[:half], deadline)
        return first + _run_pieces(queue, pieces[half:], deadline)
    try:
        return [*split_outputs(outputs, sizes, padding)]
    except ServingError as error:
        return _same_for_all(error, pieces)


def _timeout_ms(deadline: float) -> int:
    if deadline == math.inf:
        return 0
    limit = max(1, math.ceil((deadline - time.monotonic()) / _MILLISECONDS))
    # Rounded up by less than a sixteenth: each limit keeps a buffer of the session's for good.
    shift = max(0, limit.bit_length() - _SIGNIFICANT_BITS)
    return -(-limit >> shift) << shift


def _same_for_all(error: ServingError, pieces: Sequence[Piece]) -> list[Tensors | ServingError]:
    return [error for _ in pieces]
