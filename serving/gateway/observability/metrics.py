"""Prometheus metrics; the only place where their names are."""

import contextlib
import os
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
UNMATCHED: Final = "(unmatched)"
"""Path of all requests that no route matches: a caller must not make new series."""
BREAKER_STATES: Final = ("closed", "open", "half_open")

_PREFIX: Final = "loupe_gateway_"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0),
)
_BYTES: Final = tuple(float(4**power << 10) for power in range(8))  # 1 KiB to 16 MiB
_PIXELS: Final = tuple(float(4**power * 1024) for power in range(9))  # 32x32 to 8192x8192
_PROBABILITIES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 1.0)
_SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


class GatewayMetrics:
    """The metrics of a gateway, in a registry of their own.

    Attributes:
        requests_in_flight: requests that are being answered.
        spool_records: records that wait on the disk for the database.
        recorder_queue: records that wait in memory for the database.
        keys_age_seconds: time since the API keys were read.
    """

    def __init__(self, shared_folder: Path | None = None) -> None:
        """Declare the metrics.

        Args:
            shared_folder: that of `share_metrics` when several processes answer for one port.
        """
        self._shared_folder = shared_folder
        self._registry = CollectorRegistry()
        self._requests = self._histogram(
            "request_seconds", "Time to answer, by path.", _SECONDS, "path", "method", "status"
        )
        self._predictions = self._histogram(
            "prediction_seconds", "Time to a prediction.", _SECONDS, "route", "version"
        )
        self._queue = self._histogram("queue_wait_seconds", "Wait for a turn.", _SECONDS)
        self._model = self._histogram(
            "model_server_seconds", "Time of calls of the model server.", _SECONDS, "outcome"
        )
        self._uploads = self._histogram("image_bytes", "Sizes of images.", _BYTES, "format")
        self._pixels = self._histogram("image_pixels", "Width times height of images.", _PIXELS)
        self._confidence = self._histogram(
            "probability", "Of the model's answers.", _PROBABILITIES, "version"
        )
        self._errors = Counter(
            f"{_PREFIX}errors", "Refused requests and images.", ("code",), registry=self._registry
        )
        self._breaker = self._gauge("breaker_state", "1 for the circuit breaker's state.", "state")
        self.requests_in_flight = self._gauge("requests_in_flight", "Being answered.")
        self.spool_records = self._gauge("spool_records", "Records waiting on the disk.")
        self.recorder_queue = self._gauge("recorder_queue", "Records waiting in memory.")
        self.keys_age_seconds = self._gauge("keys_age_seconds", "Since API keys were read.")
        self.set_breaker(BREAKER_STATES[0])

    def observe_request(self, *, path: str, method: str, status: int, seconds: float) -> None:
        """Count a request that was answered.

        Args:
            path: the route's template; `UNMATCHED` for none.
            method: HTTP method.
            status: HTTP status; 499 when the caller hung up.
            seconds: from its first byte to the last of the answer.
        """
        known = method if method in _METHODS else "OTHER"
        self._requests.labels(path, known, str(status)).observe(seconds)

    def observe_prediction(
        self, *, route: str, version: int, seconds: float, probability: float
    ) -> None:
        """Count a prediction.

        Args:
            route: which model answered: a `Route`.
            version: its version; 0 for a fallback.
            seconds: from the request's first byte to the answer.
            probability: of the model's answer, 0..1.
        """
        self._predictions.labels(route, str(version)).observe(seconds)
        self._confidence.labels(str(version)).observe(probability)

    def observe_queue_wait(self, seconds: float) -> None:
        """Count a wait for admission.

        Args:
            seconds: how long.
        """
        self._queue.observe(seconds)

    def observe_model_call(self, *, outcome: str, seconds: float) -> None:
        """Count a call of the model server.

        Args:
            outcome: `ok`, or a gRPC status in lower case.
            seconds: how long it took.
        """
        self._model.labels(outcome).observe(seconds)

    def observe_image(self, *, image_format: str, num_bytes: int, num_pixels: int) -> None:
        """Count an image that was accepted.

        Args:
            image_format: `jpeg`, `png` and so on.
            num_bytes: size of the upload.
            num_pixels: width times height.
        """
        self._uploads.labels(image_format).observe(num_bytes)
        self._pixels.observe(num_pixels)

    def count_error(self, code: str) -> None:
        """Count a request, or an image of a batch, that was refused.

        Args:
            code: of the `GatewayError`.
        """
        self._errors.labels(code).inc()

    def set_breaker(self, state: str) -> None:
        """Show the circuit breaker.

        Args:
            state: one of `BREAKER_STATES`.
        """
        for each in BREAKER_STATES:
            self._breaker.labels(each).set(each == state)

    def read(self, name: str, **labels: str) -> float:
        """Read a sample of this process.

        Args:
            name: of the sample, without the common prefix, such as `errors_total`.
            labels: its labels.

        Returns:
            The value; 0 when there is none yet.
        """
        return self._registry.get_sample_value(_PREFIX + name, labels) or 0.0

    def count_statuses(self, prefixes: tuple[str, ...]) -> dict[str, float]:
        """Count this process's answers by the class of their status.

        Args:
            prefixes: beginnings of the paths that count.

        Returns:
            Such as `{"2xx": 12.0, "4xx": 1.0}`.
        """
        counts: dict[str, float] = {}
        for metric in self._requests.collect():
            for sample in metric.samples:
                is_count = sample.name.endswith("_count")
                if is_count and sample.labels["path"].startswith(prefixes):
                    name = f"{sample.labels['status'][0]}xx"
                    counts[name] = counts.get(name, 0.0) + sample.value
        return counts

    def render(self) -> bytes:
        """Write the metrics in Prometheus' text format.

        Returns:
            The page; of all processes that share a folder.
        """
        if self._shared_folder is None:
            return generate_latest(self._registry)
        _forget_dead_processes(self._shared_folder)
        merged = CollectorRegistry()
        MultiProcessCollector(merged, path=str(self._shared_folder))
        return generate_latest(merged)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(_PREFIX + name, text, labels, buckets=buckets, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        # Of several processes: queues and spools add up, and so do breakers (how many are open).
        mode: Any = "livemax" if name == "keys_age_seconds" else "livesum"
        return Gauge(_PREFIX + name, text, labels, registry=self._registry, multiprocess_mode=mode)


def share_metrics(folder: Path) -> None:
    """Make processes that are started from now on count together; for the one that starts them.

    The library looks for the folder when it is imported, so each worker must be a new interpreter.

    Args:
        folder: emptied: counts of processes that are gone would be counted again.
    """
    # Of missing parents, only the last gets the mode: one at a time.
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    for file in folder.glob("*.db"):
        file.unlink(missing_ok=True)
    os.environ[_SHARED_FOLDER] = str(folder)


def forget_process(folder: Path, process_id: int) -> None:
    """Take the gauges of a process that ended out of the sums.

    Args:
        folder: that of `share_metrics`.
        process_id: the process.
    """
    mark_process_dead(process_id, path=str(folder))


def _forget_dead_processes(folder: Path) -> None:
    # A worker that was killed forgets nothing itself: its backlog would be reported for ever.
    for file in folder.glob("gauge_live*.db"):
        process_id = int(file.stem.rpartition("_")[2])
        try:
            os.kill(process_id, 0)
        except ProcessLookupError:
            with contextlib.suppress(FileNotFoundError):  # another worker may be faster
                forget_process(folder, process_id)
        except PermissionError:
            continue  # it lives, as somebody else
