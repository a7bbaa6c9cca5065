"""What is around every request, over real connections."""

import contextlib
import re
import socket
import time

import httpx
import pytest

from serving.gateway.observability.middleware import SECURITY_HEADERS, new_request_id
from tests.serving.gateway.sockets import read_all

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KEY = "lk_0123456789ab_" + "5ec" * 21 + "5"
MAX_BODY_BYTES = 10_000


def wait_for(read, expected):
    deadline = time.monotonic() + 10
    while read() != expected:
        assert time.monotonic() < deadline, read()
        time.sleep(0.01)


def test_an_answer_has_an_id_that_the_caller_cannot_choose(served):
    answers = [
        httpx.post(
            f"{served.url}/v1/words", json={"word": "hello"}, headers={"X-Request-ID": "chosen-1"}
        )
        for _ in range(2)
    ]
    ids = [answer.json()["request_id"] for answer in answers]
    assert ids == [answer.headers["X-Request-ID"] for answer in answers]
    assert len(set(ids)) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert [line["request_id"] for line in served.access(2)] == ids
    assert {line["client_request_id"] for line in served.access(2)} == {"chosen-1"}
    assert re.fullmatch("[0-9a-f]{32}", new_request_id())


def test_the_access_log_tells_who_what_and_how_long(served):
    headers = {"Authorization": f"Bearer {KEY}", "X-API-Key": KEY, "Cookie": "session=hunter2"}
    answer = httpx.post(
        f"{served.url}/v1/words?key={KEY}",
        json={"word": "picture"},
        headers=headers | {"traceparent": PARENT},
    )
    (line,) = served.access()
    assert line | {"duration_ms": 0, "time": "", "request_id": "", "span_id": ""} == {
        "event": "request",
        "level": "info",
        "logger": "serving.gateway.access",
        "method": "POST",
        "path": "/v1/words",
        "route": "/v1/words",
        "status": 200,
        "code": None,
        "duration_ms": 0,
        "request_bytes": 18,
        "response_bytes": len(answer.content),
        "key_id": "development",
        "client": "127.0.0.1",
        "client_request_id": None,
        "time": "",
        "request_id": "",
        "trace_id": PARENT.split("-")[1],
        "span_id": "",
    }
    assert 0 < line["duration_ms"] < 10_000
    log = str(served.lines())
    assert KEY not in log and "hunter2" not in log and "picture" not in log


def test_requests_are_counted_by_the_path_of_their_route(served):
    for name in ("throttled", "image", "nothing-like-it"):
        httpx.get(f"{served.url}/v1/errors/{name}")
    for path in ("/a", "/b", "/v1"):
        httpx.get(served.url + path)
    served.access(6)
    count = "request_seconds_count"
    path = "/v1/errors/{name}"
    for status in ("429", "400", "500"):
        assert served.metrics.read(count, path=path, method="GET", status=status) == 1
    assert served.metrics.read(count, path="(unmatched)", method="GET", status="404") == 3
    assert served.metrics.read("requests_in_flight") == 0


@pytest.mark.parametrize("path", ["/v1/errors/throttled", "/v1/errors/bug", "/nothing"])
def test_errors_have_the_security_headers_too(served, path):
    answer = httpx.get(served.url + path)
    assert (
        SECURITY_HEADERS.items()
        <= {name: answer.headers.get(name) for name in SECURITY_HEADERS}.items()
    )
    assert "Strict-Transport-Security" not in answer.headers


def test_a_page_may_bring_its_own_policy_but_no_line_breaks(served):
    answer = httpx.get(f"{served.url}/v1/headers")
    assert answer.headers["Content-Security-Policy"] == "default-src 'self'"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Name"] == "a  Set-Cookie: stolen=1"
    assert "Set-Cookie" not in answer.headers
    assert answer.headers.get_list("X-Request-ID") == [served.access()[0]["request_id"]]


def test_no_header_is_injected_through_what_a_caller_sends(served):
    answer = httpx.get(f"{served.url}/v1/errors/injected")
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Retry-After"] == "3??Set-Cookie: a=b"
    for value in (b"x\rSet-Cookie: a=b", b"x y", b"a" * 65, b"\xff\xfe", b""):
        raw = b"GET /%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: x\r\nX-Request-ID: " + value
        reply = served.send(raw + b"\r\nConnection: close\r\n\r\n")
        assert reply.split(b" ")[1] in {b"404", b"400"}, reply
        assert b"set-cookie" not in reply.partition(b"\r\n\r\n")[0].lower()
        assert value not in reply or not value
        time.sleep(0.05)
    assert len(served.access(3)) == 3
    lines = [line for line in served.lines() if line["event"] == "request"]
    assert {line["client_request_id"] for line in lines} == {None}


def test_a_body_over_the_limit_is_refused_before_it_is_sent(served):
    head = b"POST /v1/count HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
    for length in (b"10001", b"9" * 17):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            connection.sendall(head + length + b"\r\n\r\n")
            reply = read_all(connection)
        assert reply.split(b" ")[1] in {b"413", b"400"}, reply
    answer = httpx.post(f"{served.url}/v1/count", content=b"x" * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json()["got"] == "Content-Length 10001"
    assert answer.json()["accepted"] == "at most 10000 bytes"
    assert answer.headers["Connection"] == "close"
    whole = httpx.post(f"{served.url}/v1/count", content=b"x" * MAX_BODY_BYTES)
    assert whole.json() == MAX_BODY_BYTES


@pytest.mark.parametrize("path", ["/v1/count", "/v1/words"])
def test_a_body_of_unknown_length_is_counted(served, path):
    sent = []

    def body():
        for _ in range(1000):
            sent.append(1)
            yield b"x" * 5000

    reply = None
    # The server may close before the rest is sent.
    with contextlib.suppress(httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
        reply = httpx.post(
            served.url + path, content=body(), headers={"Content-Type": "application/json"}
        )
    if reply is not None:
        assert (reply.status_code, reply.json()["code"]) == (413, "too_large")
    (line,) = served.access()
    assert (line["status"], line["code"]) == (413, "too_large")
    assert line["request_bytes"] < 1_000_000


def test_a_caller_that_hangs_up_is_no_error(served):
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(b"POST /v1/count HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nabc")
        wait_for(lambda: served.metrics.read("requests_in_flight"), 1)
    (line,) = served.access()
    assert line["status"] == 499
    assert [each for each in served.lines() if each["level"] == "error"] == []


def test_half_an_answer_is_cut_off_and_logged(served):
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{served.url}/v1/half")
    served.access()
    errors = [line for line in served.lines() if line["level"] == "error"]
    assert "http.response.start" not in str(errors)
    assert any("in the middle" in line.get("exception", "") for line in errors)
    assert served.metrics.read("requests_in_flight") == 0
