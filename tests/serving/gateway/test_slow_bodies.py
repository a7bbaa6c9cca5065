"""Bodies that drip: on every route that reads one, whoever sends it."""

import contextlib
import socket
import time

import pytest

from tests.serving.gateway.sockets import read_all

SECONDS = 1.0


@pytest.fixture(scope="module")
def slow_gateway(make_gateway):
    gateway = make_gateway(
        UNSAFE_NO_AUTH="true", SECURE_COOKIES="false", UPLOAD__BODY_TIMEOUT_SECONDS=str(SECONDS)
    )
    gateway.start()
    return gateway


@pytest.fixture(scope="module")
def signed_in(slow_gateway):
    """Headers of a session of the console."""
    with slow_gateway.client() as client:
        client.get("/console/sign-in")
        page = client.get("/console/try").text
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    token = page.partition('name="form-token" content="')[2][:64]
    return f"Cookie: {cookies}\r\nX-Form-Token: {token}\r\n"


def drip(port, path, content_type, headers=""):
    """Send a byte now and then; return the whole answer and how long its first piece took."""
    started, answer = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n{headers}"
            f"Content-Type: {content_type}\r\nContent-Length: 900\r\n\r\n"
        )
        connection.sendall(head.encode())
        connection.settimeout(0.1)
        while not answer and time.monotonic() - started < 6:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(65536)
        seconds = time.monotonic() - started
        connection.settimeout(10)
        answer += read_all(connection)
    return answer, seconds


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/console/sign-in", "application/x-www-form-urlencoded"),
        ("/console/sign-out", "application/x-www-form-urlencoded"),
        (f"/console/review/{'0' * 32}", "application/x-www-form-urlencoded"),
        ("/console/try/feedback", "application/json"),
        ("/console/try/predict", "image/png"),
        ("/v1/feedback", "application/json"),
        ("/v1/predict", "image/png"),
    ],
)
def test_a_body_that_drips_is_given_up_on(slow_gateway, signed_in, path, content_type):
    answer, seconds = drip(slow_gateway.port, path, content_type, signed_in)
    assert answer.startswith(b"HTTP/1.1 408 "), answer
    assert b'"accepted":"a whole body within 1 s"' in answer
    assert b"connection: close" in answer.lower()
    assert SECONDS * 0.9 < seconds < SECONDS + 3
