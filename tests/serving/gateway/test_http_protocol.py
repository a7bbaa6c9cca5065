import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from serving.gateway import http_protocol
from serving.gateway.http_protocol import MAX_HEAD_BYTES, GuardedProtocol
from tests.serving.gateway.sockets import read_all


async def _echo(scope, receive, send):
    """Answers with the number of bytes of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = f"{scope['path']} {size}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port():
    config = uvicorn.Config(
        _echo, port=0, http=GuardedProtocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def _exchange(port, *parts, pause_seconds=0.0):
    """Send parts; return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause_seconds)
        return read_all(connection)


def _request(path="/", headers="", body=b"", *, is_last=True):
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{headers}"
    return head.encode() + (b"Connection: close\r\n" if is_last else b"") + b"\r\n" + body


def test_ordinary_requests_pass(port):
    assert _exchange(port, _request("/a", body=b"x" * 200_000)).endswith(b"/a 200000")


def test_heads_up_to_the_limit_pass(port):
    padding = f"X-Padding: {'x' * (MAX_HEAD_BYTES - 200)}\r\n"
    assert _exchange(port, _request("/b", padding)).endswith(b"/b 0")


@pytest.mark.parametrize(
    "request_bytes",
    [
        _request(headers=f"X-Padding: {'x' * MAX_HEAD_BYTES}\r\n"),
        _request(headers="X-Padding: x\r\n" * 10_000),
        _request(f"/{'x' * MAX_HEAD_BYTES}"),
        b"POST / HTTP/1.1\r\nX-Endless: " + b"x" * 3 * MAX_HEAD_BYTES,
    ],
    ids=["one header", "many headers", "path", "endless"],
)
@pytest.mark.parametrize("pause_seconds", [0.0, 0.01])
def test_larger_heads_are_refused(port, request_bytes, pause_seconds):
    size = 16384
    parts = [request_bytes[n : n + size] for n in range(0, len(request_bytes), size)]
    answer = _exchange(port, *parts, pause_seconds=pause_seconds)
    assert not answer or answer.startswith(b"HTTP/1.1 431 "), answer[:200]
    if pause_seconds:
        assert b'"code":"headers_too_large"' in answer


def test_the_limit_counts_for_each_request_of_a_connection(port):
    padding = f"X-Padding: {'x' * (MAX_HEAD_BYTES // 2)}\r\n"
    requests = b"".join(_request(f"/{n}", padding, is_last=n == 9) for n in range(10))
    parts = [requests[n : n + 8192] for n in range(0, len(requests), 8192)]
    answer = _exchange(port, *parts, pause_seconds=0.005)
    assert [answer.count(f"/{n} 0".encode()) for n in range(10)] == [1] * 10


def test_pipelined_requests_are_answered_in_order(port):
    requests = b"".join(_request(f"/{n}", body=b"x" * n, is_last=n == 9) for n in range(10))
    answer = _exchange(port, requests)
    places = [answer.index(f"/{n} {n}".encode()) for n in range(10)]
    assert places == sorted(places)


def test_what_is_no_http_is_refused_in_the_form_of_all_errors(port):
    answer = _exchange(port, b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_request"' in answer
    assert b"X-Content-Type-Options: nosniff" in answer


@pytest.mark.parametrize(
    "smuggled",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    ],
)
def test_ambiguous_lengths_are_refused(port, smuggled):
    assert _exchange(port, smuggled).startswith(b"HTTP/1.1 400 ")


def test_slow_heads_end(port, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    started = time.monotonic()
    assert _exchange(port) == b""  # connected and said nothing
    answer = _exchange(port, b"GET / HT", b"TP/1.1\r\n", b"Host: a", pause_seconds=0.05)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 0.5 < time.monotonic() - started < 5


def test_slow_bodies_are_not_slow_heads(port, monkeypatch):
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    request = _request("/c", body=b"x" * 10)
    assert _exchange(port, request[:-5], request[-5:], pause_seconds=0.6).endswith(b"/c 10")
