"""Where model calls run: threads beside the event loop, one call each or many as a batch."""

import asyncio
import contextvars
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from serving.model_server.batching import BatchScheduler
from serving.model_server.request_scope import time_limit_ms
from serving.model_server.servable import Servable, Signature, Tensors, TensorSpec


@dataclasses.dataclass(frozen=True)
class ModelCall:
    """A checked request.

    Attributes:
        servable: the version, leased by the caller.
        signature: what to run of it.
        inputs: a value for each input; in a batch their first dimension is joined.
        output_filter: outputs to compute; empty for all.
    """

    servable: Servable
    signature: Signature
    inputs: Tensors
    output_filter: tuple[str, ...] = ()


class Runner(Protocol):
    """Runs a checked request on a version; awaiting it never blocks the event loop."""

    async def run(self, call: ModelCall) -> Tensors:
        """Run a signature.

        Args:
            call: what to run.

        Returns:
            The outputs by alias.

        Raises:
            ServingError: the model call failed.
        """
        ...


class ThreadRunner:
    """One thread per model call, at most `max_threads` at once; the rest wait in order."""

    def __init__(self, name: str, max_threads: int, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._pool = ThreadPoolExecutor(max_threads, f"model-run-{name}")

    async def run(self, call: ModelCall) -> Tensors:
        """Run a signature in a thread; see `Runner`.

        Args:
            call: what to run.

        Returns:
            The outputs by alias.

        Raises:
            ServingError: the model call failed, or ran past the time limit or the client's
                deadline.
        """
        outputs = call.signature.choose_outputs(call.output_filter)
        # A client that hangs up cancels this coroutine, but not the thread: the thread has a lease
        # of its own, so that the session is not closed under it.
        call.servable.extend_lease()
        scope = contextvars.copy_context()
        future = self._pool.submit(scope.run, self._call, call, outputs)
        future.add_done_callback(lambda _: call.servable.release())
        return await asyncio.wrap_future(future)

    def _call(self, call: ModelCall, outputs: list[TensorSpec]) -> Tensors:
        # Now, not when it was queued: waiting for a thread counts against the client's deadline.
        return call.signature.run(call.inputs, outputs, time_limit_ms(self._timeout_ms))


class BatchingRunner:
    """Runs requests in batches, and those to versions without batching parameters one by one."""

    def __init__(self, scheduler: BatchScheduler, unbatched: Runner, timeout_ms: int) -> None:
        self._scheduler = scheduler
        self._unbatched = unbatched
        self._timeout_ms = timeout_ms

    async def run(self, call: ModelCall) -> Tensors:
        """Run a signature together with other requests; see `Runner`.

        Args:
            call: what to run.

        Returns:
            The outputs by alias.

        Raises:
            ServingError: as `BatchScheduler.run`.
        """
        if call.servable.batching is None:
            return await self._unbatched.run(call)
        outputs = call.signature.choose_outputs(call.output_filter)
        return await self._scheduler.run(
            call.servable,
            call.signature,
            call.inputs,
            outputs,
            time_limit_ms(self._timeout_ms),
            call.servable.batching,
        )
