"""Cheap clients in a process of their own: prepared bytes go out, answers are only counted.

python -m benchmarks.serving_clients rest --port 8501 --requests FOLDER --clients 64 --seconds 5
"""

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import grpc
import uvloop

from configs.errors import UpstreamError

PREDICT_METHOD: Final = "/tensorflow.serving.PredictionService/Predict"
_UNLIMITED: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Send = Callable[[bytes], Awaitable[None]]


class Stopwatch:
    """Latencies of the calls that ended while it was running."""

    def __init__(self, warm_seconds: float, seconds: float) -> None:
        self._begins = time.perf_counter() + warm_seconds
        self._ends = self._begins + seconds
        self._seconds = seconds
        self._milliseconds: list[float] = []

    def is_running(self) -> bool:
        """Tell whether to send another request.

        Returns:
            True until the measured time is over.
        """
        return time.perf_counter() < self._ends

    def add(self, started: float) -> None:
        """Count a call that has just ended.

        Args:
            started: `time.perf_counter` when it began.
        """
        now = time.perf_counter()
        if self._begins <= now < self._ends:
            self._milliseconds.append((now - started) * 1e3)

    def report(self) -> dict[str, float]:
        """Sum up.

        Returns:
            `requests`, `requests_per_second`, `p50_ms`, `p95_ms` and `p99_ms`.

        Raises:
            UpstreamError: no call ended in time.
        """
        if not self._milliseconds:
            raise UpstreamError(f"no request was answered within {self._seconds:g} s, expected 1.")
        ordered = sorted(self._milliseconds)
        return {
            "requests": len(ordered),
            "requests_per_second": len(ordered) / self._seconds,
            **{f"p{share}_ms": _percentile(ordered, share) for share in (50, 95, 99)},
        }


def _percentile(ordered: list[float], share: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


async def call_grpc(
    port: int, requests: list[bytes], num_clients: int, stopwatch: Stopwatch
) -> None:
    """Send serialized PredictRequests from coroutines that share a connection.

    Args:
        port: of gRPC on this machine.
        requests: what to send, in turn.
        num_clients: requests at once.
        stopwatch: says when to stop, and is told of every answer.
    """
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_UNLIMITED) as channel:
        predict = channel.unary_unary(PREDICT_METHOD)

        async def send(request: bytes) -> None:
            await predict(request)

        await _call(send, requests, num_clients, stopwatch)


async def call_rest(
    port: int,
    path: str,
    requests: list[bytes],
    num_clients: int,
    stopwatch: Stopwatch,
    *,
    headers: Sequence[str] = ("Content-Type: application/json",),
    rate: float = 0.0,
) -> None:
    """POST prepared bodies, each client over a kept connection of its own.

    Args:
        port: of REST on this machine.
        path: where to post to.
        requests: the bodies, in turn.
        num_clients: connections.
        stopwatch: says when to stop, and is told of every answer.
        headers: header lines of each request.
        rate: requests a second over all clients, begun on time whether or not earlier ones are
            answered; what waits for a connection counts as waiting. 0 for as many as get through.
    """
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: bench", *headers])
    whole = [f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body for body in requests]
    arrivals = itertools.count()
    began = time.perf_counter()

    async def client(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def send(request: bytes) -> None:
            writer.write(request)
            await _read_answer(reader)

        mine = whole[first:] + whole[:first]
        if rate:
            await _call_on_time(send, mine, stopwatch, (began + n / rate for n in arrivals))
        else:
            await _call(send, mine, 1, stopwatch)
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client(number % len(whole)) for number in range(num_clients)))


async def _call_on_time(
    send: Send, requests: list[bytes], stopwatch: Stopwatch, arrivals: Iterator[float]
) -> None:
    for request in itertools.cycle(requests):
        due = next(arrivals)
        await asyncio.sleep(due - time.perf_counter())
        if not stopwatch.is_running():
            return
        await send(request)
        stopwatch.add(due)


async def _call(send: Send, requests: list[bytes], num_clients: int, stopwatch: Stopwatch) -> None:
    source = itertools.cycle(requests)
    await asyncio.gather(*(_call_in_turn(send, source, stopwatch) for _ in range(num_clients)))


async def _call_in_turn(send: Send, source: Iterator[bytes], stopwatch: Stopwatch) -> None:
    while stopwatch.is_running():
        request = next(source)
        started = time.perf_counter()
        await send(request)
        stopwatch.add(started)


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        body = await reader.read(300)
        raise UpstreamError(f"an answer begins with {head[:40]!r}, expected status 200: {body!r}")
    name, _, rest = head.lower().partition(b"content-length:")
    if not rest:
        raise UpstreamError(f"an answer has no Content-Length: {name!r}.")
    await reader.readexactly(int(rest.partition(b"\r\n")[0]))


def main() -> None:
    """Send requests for a while and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Load a model server.")
    parser.add_argument("protocol", choices=("grpc", "rest"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="", help="of the POST")
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-seconds", type=float, default=1.0)
    parser.add_argument("--header", action="append", help="of REST; repeatable")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: no limit")
    options = parser.parse_args()
    requests = [path.read_bytes() for path in sorted(options.requests.iterdir())]
    stopwatch = Stopwatch(options.warm_seconds, options.seconds)
    if options.protocol == "grpc":
        calls = call_grpc(options.port, requests, options.clients, stopwatch)
    else:
        calls = call_rest(
            options.port,
            options.path,
            requests,
            options.clients,
            stopwatch,
            headers=options.header or ["Content-Type: application/json"],
            rate=options.rate,
        )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(calls)
    print(json.dumps(stopwatch.report()))


if __name__ == "__main__":
    main()
