import asyncio
import time

import pytest

from benchmarks.serving_clients import Stopwatch, call_rest
from configs.errors import UpstreamError


def serve_and_call(answer, seconds=0.2, num_clients=3, **options):
    """POST to a server of raw answers; return the stopwatch and what the server was sent."""
    stopwatch = Stopwatch(0, seconds)
    seen = []

    async def handle(reader, writer):
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                seen.append(await reader.readexactly(4))
                writer.write(answer)
        except asyncio.IncompleteReadError:
            writer.close()

    async def main():
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await call_rest(port, "/p", [b"one.", b"two."], num_clients, stopwatch, **options)
        server.close()

    asyncio.run(main())
    return stopwatch, seen


def test_answers_in_time_are_counted_and_requests_go_out_in_turn():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    stopwatch, seen = serve_and_call(answer)
    report = stopwatch.report()
    assert 0 < report["requests"] <= len(seen)
    assert 0 < report["p50_ms"] <= report["p99_ms"]
    assert abs(seen.count(b"one.") - seen.count(b"two.")) <= 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 503.*expected status 200"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "no Content-Length"),
    ],
)
def test_an_answer_that_is_no_success_ends_the_measurement(answer, words):
    with pytest.raises(UpstreamError, match=words):
        serve_and_call(answer, num_clients=1)


def test_calls_outside_the_measured_time_do_not_count():
    stopwatch = Stopwatch(60, 1)
    stopwatch.add(time.perf_counter())
    with pytest.raises(UpstreamError, match="no request was answered within 1 s"):
        stopwatch.report()


def test_requests_go_out_at_the_rate_that_is_asked_for():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    stopwatch, seen = serve_and_call(answer, seconds=0.5, num_clients=4, rate=40)
    assert 12 <= len(seen) <= 20
    assert stopwatch.report()["p50_ms"] < 200
