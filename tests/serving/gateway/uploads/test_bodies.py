"""Bodies over real connections to a real server."""

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import threading
import time
import tracemalloc

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from serving.gateway.errors import GatewayError
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.bodies import read_uploads
from tests.serving.gateway.sockets import read_all

LIMITS = UploadSettings(
    max_body_bytes=2_000_000,
    max_image_bytes=1_000_000,
    max_batch_images=3,
    body_timeout_seconds=0.5,
)


class Gateway:
    """Answers with the digests of the pictures it was sent, and notes how it went."""

    def __init__(self):
        self.outcomes = []
        self.peak_bytes = 0

    async def answer(self, request: Request):
        try:
            many = request.url.path.endswith("batch")
            uploads = await read_uploads(request, LIMITS, many=many)
        except GatewayError as error:
            self.outcomes.append(error.code)
            return JSONResponse(error.to_body(""), error.http_status, error.headers)
        finally:
            if tracemalloc.is_tracing():
                self.peak_bytes = tracemalloc.get_traced_memory()[1]
        self.outcomes.append("ok")
        return JSONResponse([
            [hashlib.sha256(upload.data).hexdigest(), upload.name, upload.content_type]
            for upload in uploads
        ])


@pytest.fixture(scope="module", params=["h11", "httptools"])
def server(request):
    gateway = Gateway()
    app = Starlette(
        routes=[Route(path, gateway.answer, methods=["POST"]) for path in ("/one", "/batch")]
    )
    config = uvicorn.Config(app, port=0, http=request.param, log_level="critical")
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=runner.run)
    thread.start()
    while not runner.started:
        time.sleep(0.01)
    gateway.port = runner.servers[0].sockets[0].getsockname()[1]
    yield gateway
    runner.should_exit = True
    thread.join()


@pytest.fixture
def post(server):
    """Function of path, body and headers to (status, JSON, headers)."""

    def post(path, body, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", path, body, named)
            response = connection.getresponse()
            return response.status, json.loads(response.read()), response.headers

    return post


@pytest.fixture
def talk(server):
    """A bare connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        yield connection


def digest(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "Image/PNG; a=b", "application/octet-stream"]
)
def test_a_raw_image_is_one_picture(post, content_type):
    status, body, _ = post("/one", b"\0\xffpicture", Content_Type=content_type)
    assert status == 200
    assert body == [[digest(b"\0\xffpicture"), "", content_type.split(";")[0].lower()]]


def test_json_and_forms_are_read(post):
    encoded = base64.b64encode(b"1").decode()
    status, body, _ = post("/one", json.dumps({"image": encoded}), Content_Type="application/json")
    assert (status, body[0][0]) == (200, digest(b"1"))
    images = json.dumps({"images": [encoded] * 3})
    assert len(post("/batch", images, Content_Type="application/json; charset=utf-8")[1]) == 3
    disposition = b'Content-Disposition: form-data; name="image"; filename="c.jpg"'
    form = b"--b\r\n" + disposition + b"\r\n\r\n1\r\n--b--\r\n"
    status, body, _ = post("/one", form, Content_Type="multipart/form-data; boundary=b")
    assert (status, body) == (200, [[digest(b"1"), "c.jpg", ""]])


@pytest.mark.parametrize(
    ("content_type", "got"),
    [
        ("application/x-www-form-urlencoded", "Content-Type: application/x-www-form-urlencoded"),
        ("text/html", "Content-Type: text/html"),
        ("", "no Content-Type"),
        ("\xff/\xfe", "Content-Type: \xff/\xfe"),
    ],
)
def test_other_types_are_refused_with_the_accepted_ones(post, content_type, got):
    status, body, headers = post("/one", b"picture", Content_Type=content_type)
    assert (status, body["code"], body["got"]) == (415, "unsupported_type", got)
    assert "Content-Type: image/jpeg" in body["accepted"]
    assert "curl" in body["fix"]


def test_a_compressed_body_is_refused(post):
    status, body, _ = post("/one", b"x", Content_Type="image/png", Content_Encoding="gzip")
    assert (status, body["got"]) == (415, "Content-Encoding: gzip")


def test_an_announced_size_is_refused_before_the_body_is_sent(talk, server):
    talk.sendall(
        b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 1000001\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    answer = read_all(talk)  # to the end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 413")  # and no "100 Continue" before it
    assert b'"accepted":"at most 1000000 bytes"' in answer
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    "content_type", ["image/png", "application/json", "text/html", "multipart/form-data"]
)
def test_a_client_that_sends_everything_first_still_sees_the_answer(post, content_type):
    # Closing the connection at once would break the client's pipe.
    status, body, headers = post("/one", bytes(30_000_000), Content_Type=content_type)
    assert status in {400, 413, 415}
    assert body["fix"]
    assert headers["Connection"] == "close"


def test_the_limit_of_other_bodies_is_the_one_of_bodies(post):
    status, body, _ = post("/one", b" " * 2_000_001, Content_Type="application/json")
    assert (status, body["got"]) == (413, "2000001 bytes")
    assert post("/one", b" " * 2_000_000, Content_Type="application/json")[0] == 400


@pytest.mark.parametrize(
    "content_type", ["image/png", "application/json", "multipart/form-data; boundary=b"]
)
def test_a_body_without_an_announced_size_is_counted(server, talk, content_type):
    tracemalloc.start()
    talk.sendall(
        b"POST /one HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: "
        + content_type.encode()
        + b"\r\n\r\n"
    )
    start = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    talk.sendall(b"%x\r\n%s\r\n" % (len(start), start))
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    with contextlib.suppress(OSError):
        for _ in range(3000):  # 192 MB, if anybody kept it
            talk.sendall(chunk)
    with contextlib.suppress(OSError):
        read_all(talk)
    deadline = time.monotonic() + 5
    while server.outcomes[-1:] != ["too_large"] and time.monotonic() < deadline:
        time.sleep(0.01)
    tracemalloc.stop()
    assert server.outcomes[-1] == "too_large"
    assert server.peak_bytes < 12_000_000
    server.outcomes.clear()


def test_a_slow_body_is_given_up_on(talk):
    started = time.monotonic()
    talk.sendall(
        b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 900\r\n\r\n"
    )
    answer = b""
    talk.settimeout(0.05)
    while not answer and time.monotonic() - started < 10:  # a byte now and then, as Slowloris
        talk.sendall(b"x")
        with contextlib.suppress(TimeoutError):
            answer = talk.recv(65536)
    assert 0.4 < time.monotonic() - started < 5
    talk.settimeout(10)
    answer += read_all(talk)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"accepted":"a whole body within 0.5 s"' in answer


def test_a_caller_who_leaves_is_no_error_of_ours(server):
    server.outcomes.clear()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
            b"Content-Length: 900\r\n\r\nx"
        )
        time.sleep(0.1)
    deadline = time.monotonic() + 5
    while not server.outcomes and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.outcomes == ["bad_request"]


def test_requests_on_one_connection_do_not_mix(talk):
    request = (
        b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\n"
    )
    last = request.replace(b"Host", b"Connection: close\r\nHost")
    talk.sendall(request + b"one" + request + b"two" + last + b"end")
    answer = read_all(talk).decode()
    places = [answer.index(digest(data)) for data in (b"one", b"two", b"end")]
    assert places == sorted(places)


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "٣"])
def test_a_length_that_is_no_number_is_refused(talk, length):
    talk.sendall(
        f"POST /one HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {length}"
        "\r\n\r\nabc".encode()
    )
    talk.shutdown(socket.SHUT_WR)
    assert read_all(talk).startswith(b"HTTP/1.1 400")


def test_an_empty_body_is_an_empty_picture(post):
    assert post("/one", b"", Content_Type="image/png")[1] == [[digest(b""), "", "image/png"]]
