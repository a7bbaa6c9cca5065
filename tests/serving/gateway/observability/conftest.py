"""An app with everything that can go wrong in it, behind a real server."""

import asyncio
import contextlib
import io
import json
import logging
import socket
import threading
import time
from typing import Annotated

import pytest
import structlog
import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from configs.errors import InvalidImageError, ModelNotReadyError, UpstreamError
from serving.gateway.auth.authenticator import DEVELOPER
from serving.gateway.errors import ThrottledError
from serving.gateway.observability.logs import configure_logs
from serving.gateway.observability.metrics import GatewayMetrics
from serving.gateway.observability.middleware import install_observability
from serving.gateway.observability.tracing import Tracing
from tests.serving.gateway.sockets import read_all

MAX_BODY_BYTES = 10_000
SECRET = "lk_0123456789ab_" + "5ec" * 21 + "5"
router = APIRouter()


class Words(BaseModel):
    word: Annotated[str, Field(min_length=2)]
    model_config = {"extra": "forbid"}


@router.post("/words")
async def words(body: Words, request: Request) -> dict[str, str]:
    request.state.principal = DEVELOPER
    return {"word": body.word, "request_id": request.state.request_id}


@router.post("/count")
async def count(request: Request) -> int:
    return len(await request.body())


ERRORS = {
    "throttled": ThrottledError("too fast.", got="9", fix="Wait.", headers={"Retry-After": "3"}),
    "injected": ThrottledError("x.", headers={"Retry-After": "3\r\nSet-Cookie: a=b"}),
    "image": InvalidImageError("image 'x' is broken."),
    "not_ready": ModelNotReadyError("model 'x' is loading."),
    "upstream": UpstreamError("the server said no."),
    "bug": ZeroDivisionError(f"1/0 with {SECRET}"),
    "surrogate": ThrottledError("bad \ud800 text."),
}


@router.get("/errors/{name}")
async def fail(name: str) -> None:
    raise ERRORS[name]


@router.get("/headers")
async def own_headers() -> Response:
    return Response(
        headers={
            "Content-Security-Policy": "default-src 'self'",
            "X-Name": "a\r\nSet-Cookie: stolen=1",
            "X-Request-ID": "mine",
        }
    )


@router.get("/half")
async def half() -> StreamingResponse:
    async def body():
        yield b"half"
        raise ZeroDivisionError("in the middle")

    return StreamingResponse(body())


class Served:
    """What a test needs of the running app."""

    def __init__(self, port, metrics, log):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.metrics = metrics
        self._log = log

    def lines(self):
        """Lines of the log so far."""
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def access(self, count=1):
        """The last lines of the access log, which follow the answers."""
        deadline = time.monotonic() + 10
        while True:
            found = [line for line in self.lines() if line["event"] == "request"]
            if len(found) >= count:
                return found[-count:]
            assert time.monotonic() < deadline, found
            time.sleep(0.01)

    def send(self, data):
        """Send bytes, read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            return read_all(connection)


@contextlib.contextmanager
def _logging_to(stream):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs(stream)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


@pytest.fixture(params=["httptools", "h11"])
def served(request):
    """The app behind uvicorn, once per implementation of HTTP."""
    app, metrics, log = FastAPI(), GatewayMetrics(), io.StringIO()
    app.include_router(router, prefix="/v1")
    install_observability(
        app, metrics=metrics, tracing=Tracing(None), max_body_bytes=MAX_BODY_BYTES
    )
    config = uvicorn.Config(
        app, port=0, http=request.param, log_config=None, access_log=False, loop="asyncio"
    )
    server = uvicorn.Server(config)
    with _logging_to(log):
        thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Served(server.servers[0].sockets[0].getsockname()[1], metrics, log)
        server.should_exit = True
        thread.join()
