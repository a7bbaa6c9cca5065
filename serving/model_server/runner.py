"""Where model calls run: threads beside the event loop, one call each or many as a batch."""

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from serving.model_server.batching import BatchScheduler
from serving.model_server.request_scope import time_limit_ms
from serving.model_server.servable import Servable, Signature, Tensors, TensorSpec


class Runner(Protocol):
    """Runs a checked request on a version; awaiting it never blocks the event loop."""

    async def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Tensors,
        output_filter: tuple[str, ...],
    ) -> Tensors:
        """Run a signature.

        Args:
            servable: the version, leased by the caller.
            signature: one of its signatures.
            inputs: a value for each input.
            output_filter: outputs to compute; empty for all.

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

    async def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Tensors,
        output_filter: tuple[str, ...],
    ) -> Tensors:
        """Run a signature in a thread; see `Runner`.

        Args:
            servable: the version, leased by the caller.
            signature: one of its signatures.
            inputs: a value for each input.
            output_filter: outputs to compute; empty for all.

        Returns:
            The outputs by alias.

        Raises:
            ServingError: the model call failed, or ran past the time limit or the client's
                deadline.
        """
        outputs = signature.choose_outputs(output_filter)
        # A client that hangs up cancels this coroutine, but not the thread: the thread has a lease
        # of its own, so that the session is not closed under it.
        servable.extend_lease()
        scope = contextvars.copy_context()
        future = self._pool.submit(scope.run, self._call, signature, inputs, outputs)
        future.add_done_callback(lambda _: servable.release())
        return await asyncio.wrap_future(future)

    def _call(self, signature: Signature, inputs: Tensors, outputs: list[TensorSpec]) -> Tensors:
        # Now, not when it was queued: waiting for a thread counts against the client's deadline.
        return signature.run(inputs, outputs, time_limit_ms(self._timeout_ms))


class BatchingRunner:
    """Runs requests in batches, and those to versions without batching parameters one by one."""

    def __init__(self, scheduler: BatchScheduler, unbatched: Runner, timeout_ms: int) -> None:
        self._scheduler = scheduler
        self._unbatched = unbatched
        self._timeout_ms = timeout_ms

    async def run(
        self,
        servable: Servable,
        signature: Signature,
        inputs: Tensors,
        output_filter: tuple[str, ...],
    ) -> Tensors:
        """Run a signature together with other requests; see `Runner`.

        Args:
            servable: the version, leased by the caller.
            signature: one of its signatures.
            inputs: a value for each input; the first dimension is the batch.
            output_filter: outputs to compute; empty for all.

        Returns:
            The outputs by alias.

        Raises:
            ServingError: as `BatchScheduler.run`.
        """
        if servable.batching is None:
            return await self._unbatched.run(servable, signature, inputs, output_filter)
        outputs = signature.choose_outputs(output_filter)
        return await self._scheduler.run(
            servable,
            signature,
            inputs,
            outputs,
            time_limit_ms(self._timeout_ms),
            servable.batching,
        )
