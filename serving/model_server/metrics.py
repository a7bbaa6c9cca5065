"""Prometheus metrics with the names, labels and buckets of TF Serving.

Source: tensorflow_serving/util/prometheus_exporter.cc, servables/tensorflow/util.cc,
servables/tensorflow/saved_model_warmup_util.cc and batching/batching_session.cc.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.samples import Sample

from serving.model_server.batching import BatchReport
from serving.model_server.errors import Code, ServingError
from serving.model_server.request_scope import api_scope, current_api
from serving.model_server.runner import ModelCall, Runner
from serving.model_server.servable import Tensors

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
UNKNOWN_MODEL: Final = "(unknown)"
"""Label of all requests for models that are not configured: a client must not make new series."""

_PREFIX: Final = ":tensorflow:serving:"
_MICROSECONDS: Final = 1e6
_RUNTIME: Final = "TF1"
_LATENCY_LABELS: Final = ("model_name", "API", "entrypoint")


def _exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    return tuple(scale * growth**power for power in range(count))


_LATENCY_BUCKETS: Final = _exponential(10, 1.8, 33)
_QUEUING_BUCKETS: Final = _exponential(100, 1.2, 52)
_COUNT_BUCKETS: Final = _exponential(1, 2, 15)


class ServerMetrics:
    """One server's metrics, in a registry of its own; callable from any thread."""

    def __init__(self, is_configured: Callable[[str], bool]) -> None:
        """Declare the metrics; they are exported, empty, from now on.

        Args:
            is_configured: whether a model of that name is in the server's config.
        """
        self._is_configured = is_configured
        self._registry = CollectorRegistry()
        self._names: dict[str, str] = {}
        self._requests = self._counter("request_count", "model_name", "status")
        self._latency = self._histogram("request_latency", _LATENCY_BUCKETS, *_LATENCY_LABELS)
        self._runtime = self._histogram(
            "runtime_latency", _LATENCY_BUCKETS, "model_name", "API", "runtime"
        )
        self._example_counts = self._histogram("request_example_counts", _COUNT_BUCKETS, "model")
        self._examples = self._counter("request_example_count_total", "model")
        self._warmup = self._histogram(
            "model_warmup_latency", _LATENCY_BUCKETS, "model_path", "status"
        )
        self._warmup_records = self._counter("model_warmup_records_read", "model_path")
        batching = "batching_session:"
        self._queuing = self._histogram(
            f"{batching}queuing_latency", _QUEUING_BUCKETS, "thread_pool_name"
        )
        self._batches = self._counter(f"{batching}wrapped_run_count")
        self._input_size = self._histogram(f"{batching}input_batch_size", _COUNT_BUCKETS)
        self._batch_size = self._histogram(f"{batching}processed_batch_size", _COUNT_BUCKETS)
        self._padding = self._histogram(
            f"{batching}padding_size", (0.0, *_COUNT_BUCKETS), "execution_batch_size"
        )

    @contextlib.contextmanager
    def request(self, model_name: str, api: str, entrypoint: str) -> Generator[None]:
        """Count a request and, when it succeeds, its latency.

        Args:
            model_name: the model that it asks for, whether there is one or not.
            api: what upstream calls it: `Predict` over gRPC, `predict` over REST.
            entrypoint: `GRPC` or `REST`.

        Yields:
            Nothing; what the block raises is the request's status.

        Raises:
            ServingError: the block raised it.
            CancelledError: likewise; the client hung up.
        """
        label = model_name if self._is_configured(model_name) else UNKNOWN_MODEL
        started = time.perf_counter()
        code = Code.UNKNOWN
        try:
            with api_scope(api.capitalize()):
                yield
            code = Code.OK
        except ServingError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        finally:
            self._requests.labels(label, code.name).inc()
            if code is Code.OK:
                microseconds = (time.perf_counter() - started) * _MICROSECONDS
                self._latency.labels(label, api, entrypoint).observe(microseconds)

    def watch_rpc(
        self, api: str, handler: Callable[[Any], Awaitable[Any]]
    ) -> Callable[[Any], Awaitable[Any]]:
        """Wrap the handler of a gRPC method so that its requests are counted.

        Args:
            api: the method's name.
            handler: takes a request with a `model_spec`.

        Returns:
            The wrapped handler.
        """

        async def watched(request: Any) -> Any:
            with self.request(request.model_spec.name, api, "GRPC"):
                return await handler(request)

        return watched

    def watch_runner(self, runner: Runner) -> Runner:
        """Wrap a runner so that the time that model calls take is measured, queues included.

        Args:
            runner: the runner.

        Returns:
            A runner that calls it.
        """
        return _WatchedRunner(runner, self._runtime)

    def observe_examples(self, model_name: str, count: int) -> None:
        """Count the tf.Examples of a classification or regression.

        Args:
            model_name: the model, one that answered.
            count: how many examples the request held.
        """
        self._example_counts.labels(model_name).observe(count)
        self._examples.labels(model_name).inc(count)

    def observe_warmup(
        self, path: Path, *, seconds: float, num_records: int, error: ServingError | None
    ) -> None:
        """Count the warm-up of a version that brings warm-up requests along.

        Args:
            path: the version's folder.
            seconds: how long it took.
            num_records: how many requests were replayed.
            error: why it failed; None when it did not.
        """
        status = Code.OK.name if error is None else error.code.name
        self._warmup.labels(str(path), status).observe(seconds * _MICROSECONDS)
        self._warmup_records.labels(str(path)).inc(num_records)

    def observe_batch(self, batch: BatchReport) -> None:
        """Count a batch that was run.

        Args:
            batch: what is known about it.
        """
        queuing = self._queuing.labels(batch.thread_pool_name)
        for seconds in batch.queuing_seconds:
            queuing.observe(seconds * _MICROSECONDS)
        for size in batch.input_batch_sizes:
            self._input_size.observe(size)
        self._batches.inc()
        self._batch_size.observe(batch.processed_batch_size)
        self._padding.labels(str(batch.processed_batch_size)).observe(batch.padding_size)

    def render(self) -> bytes:
        """Write all metrics in Prometheus' text format.

        The library's own writer would append `_total` to the names of counters.

        Returns:
            The page.
        """
        lines: list[str] = []
        for metric in self._registry.collect():
            name = self._names[metric.name]
            lines.append(f"# TYPE {name} {metric.type}")
            for sample in metric.samples:
                suffix = sample.name.removeprefix(metric.name)
                if suffix != "_created":
                    shown = name if metric.type == "counter" else name + suffix
                    lines.append(f"{shown}{_labels_text(sample)} {_number_text(sample.value)}")
        return "\n".join([*lines, ""]).encode()

    def _counter(self, name: str, *labels: str) -> Counter:
        counter = Counter(_PREFIX + name, name, labels, registry=self._registry)
        # The library takes `_total` off the names of counters.
        self._names[(_PREFIX + name).removesuffix("_total")] = _PREFIX + name
        return counter

    def _histogram(self, name: str, buckets: Sequence[float], *labels: str) -> Histogram:
        self._names[_PREFIX + name] = _PREFIX + name
        return Histogram(_PREFIX + name, name, labels, buckets=buckets, registry=self._registry)


class _WatchedRunner:
    def __init__(self, runner: Runner, histogram: Histogram) -> None:
        self._runner = runner
        self._histogram = histogram

    async def run(self, call: ModelCall) -> Tensors:
        started = time.perf_counter()
        outputs = await self._runner.run(call)
        microseconds = (time.perf_counter() - started) * _MICROSECONDS
        self._histogram.labels(call.servable.name, current_api(), _RUNTIME).observe(microseconds)
        return outputs


def _labels_text(sample: Sample) -> str:
    pairs = [f'{name}="{_label_value(name, text)}"' for name, text in sample.labels.items()]
    return f"{{{','.join(pairs)}}}"


def _label_value(name: str, text: str) -> str:
    if name == "le" and text != "+Inf":
        return f"{float(text):g}"  # six digits, as absl::StrCat writes them
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
