"""OpenTelemetry traces: from the caller's `traceparent`, through this API, to the model server."""

import contextlib
from collections.abc import Generator, Mapping
from importlib import metadata
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from configs.errors import ConfigError

SERVICE: Final = "loupe-gateway"
EXPORT_SECONDS: Final = 5.0
"""How long the collector may take; nobody waits for it but the thread that exports."""

_QUEUE: Final = 4096
_DELAY_MS: Final = 1000
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans, and hands them to a thread that sends them away.

    The provider is this object's own: a global one would make frameworks trace twice.
    """

    def __init__(self, exporter: SpanExporter | None) -> None:
        """Start the exporting thread, if there is an exporter.

        Args:
            exporter: where spans go; None for nowhere: ids are made and passed on all the same,
                so that lines of logs that belong together can be found.
        """
        self.is_on = exporter is not None
        self._provider = TracerProvider(
            sampler=DEFAULT_ON if exporter else ALWAYS_OFF,
            resource=Resource.create({
                SERVICE_NAME: SERVICE,
                SERVICE_VERSION: metadata.version("loupe"),
            }),
            shutdown_on_exit=False,
        )
        if exporter is not None:
            self._provider.add_span_processor(
                BatchSpanProcessor(exporter, max_queue_size=_QUEUE, schedule_delay_millis=_DELAY_MS)
            )
        self._tracer = self._provider.get_tracer("serving.gateway")

    @contextlib.contextmanager
    def request_span(self, name: str, headers: Mapping[str, str]) -> Generator[Span]:
        """Trace a request, as part of the caller's trace if it has one.

        Args:
            name: of the span, until the route is known.
            headers: of the request, names in lower case.

        Yields:
            The span; the current one inside the block.
        """
        parent = _PROPAGATOR.extract(headers, context=context.Context())
        remote = trace.get_current_span(parent)
        if not self.is_on and remote.get_span_context().is_valid:
            # Who does not take part passes on what it was given.
            with trace.use_span(remote, end_on_exit=False):
                yield remote
            return
        with self._tracer.start_as_current_span(
            name, context=parent, kind=SpanKind.SERVER, record_exception=False
        ) as span:
            yield span

    @contextlib.contextmanager
    def span(self, name: str, kind: SpanKind = SpanKind.INTERNAL) -> Generator[Span]:
        """Trace a part of a request.

        Args:
            name: of the part, such as `model.predict`.
            kind: `CLIENT` for a call of another server.

        Yields:
            The span; the current one inside the block.
        """
        if not self.is_on:
            yield trace.get_current_span()
            return
        with self._tracer.start_as_current_span(name, kind=kind, record_exception=False) as span:
            yield span

    def stop(self) -> None:
        """Send what is left, for as long as one export may take; blocks, so call it in a thread."""
        self._provider.shutdown()


def start_tracing(endpoint: str) -> Tracing:
    """Make the tracing of a process.

    Args:
        endpoint: URL of an OTLP/HTTP collector, such as `http://collector:4318`; without a path,
            `/v1/traces` is added. Empty for none.

    Returns:
        The tracing.

    Raises:
        ConfigError: the endpoint is no HTTP URL.
    """
    if not endpoint:
        return Tracing(None)
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            f"trace_endpoint is '{endpoint}', expected a URL such as http://collector:4318. "
            "Correct LOUPE_GATEWAY_TRACE_ENDPOINT."
        )
    has_path = parts.path.strip("/") != ""
    url = endpoint if has_path else f"{endpoint.rstrip('/')}/v1/traces"
    return Tracing(OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS))


def outgoing_trace() -> tuple[tuple[str, str], ...]:
    """Write the current trace for another server.

    Returns:
        W3C `traceparent` and `tracestate` as gRPC metadata; empty outside of a request.
    """
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return tuple(carrier.items())
