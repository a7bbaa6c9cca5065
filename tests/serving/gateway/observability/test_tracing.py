"""Traces: to a real collector over HTTP, and on to the model server."""

import contextlib
import http.server
import threading
import time

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from configs.errors import ConfigError
from serving.gateway.observability.tracing import Tracing, outgoing_trace, start_tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_ID, PARENT_ID = PARENT.split("-")[1:3]


@contextlib.contextmanager
def collector(delay_seconds=0.0):
    """A collector that keeps what it is sent."""
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(delay_seconds)
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spans_of(received):
    return {
        span.name: span
        for _, request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }


@pytest.mark.parametrize(("suffix", "path"), [("", "/v1/traces"), ("/here", "/here")])
def test_spans_reach_the_collector_as_part_of_the_callers_trace(suffix, path):
    with collector() as (url, received):
        tracing = start_tracing(url + suffix)
        with tracing.request_span("POST", {"traceparent": PARENT}), tracing.span("model.predict"):
            (outgoing,) = outgoing_trace()
        tracing.stop()
    assert {each for each, _ in received} == {path}
    spans = spans_of(received)
    server, client = spans["POST"], spans["model.predict"]
    assert server.trace_id.hex() == client.trace_id.hex() == TRACE_ID
    assert server.parent_span_id.hex() == PARENT_ID
    assert client.parent_span_id == server.span_id
    assert outgoing == ("traceparent", f"00-{TRACE_ID}-{client.span_id.hex()}-01")


def test_a_slow_collector_and_a_lost_one_hold_up_nobody():
    with collector(delay_seconds=2) as (url, _received):
        for endpoint in (url, "http://127.0.0.1:1"):
            tracing = start_tracing(endpoint)
            started = time.perf_counter()
            for _ in range(2000):
                with tracing.request_span("POST", {}):
                    pass
            assert time.perf_counter() - started < 1.5
            tracing.stop()
            assert time.perf_counter() - started < 15


@pytest.mark.parametrize(
    "header", [None, "", "00-zz-zz-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5000]
)
def test_without_a_parent_there_is_a_new_trace(header):
    tracing = Tracing(None)
    seen = set()
    for _ in range(2):
        with tracing.request_span("x", {"traceparent": header} if header is not None else {}):
            ((name, value),) = outgoing_trace()
            assert name == "traceparent"
            seen.add(value.split("-")[1])
    assert len(seen) == 2
    assert not seen & {"0" * 32}


def test_who_does_not_trace_passes_on_what_it_was_given():
    tracing = Tracing(None)
    headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
    with tracing.request_span("x", headers), tracing.span("model.predict"):
        assert dict(outgoing_trace()) == headers
    assert outgoing_trace() == ()


def test_the_global_provider_is_left_alone():
    before = trace.get_tracer_provider()
    start_tracing("http://127.0.0.1:1").stop()
    assert trace.get_tracer_provider() is before


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://collector", "http://"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint):
    with pytest.raises(ConfigError, match=f"trace_endpoint is '{endpoint}'"):
        start_tracing(endpoint)
