"""Around every request: id, trace, access log, metrics, body limit, security headers, errors."""

import re
import sys
import time
import uuid
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from opentelemetry.trace import Span, Status, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from configs.errors import PipelineError
from serving.gateway.errors import GatewayError, TooLargeError
from serving.gateway.observability.error_answers import (
    CLIENT_CLOSED,
    InternalError,
    install_error_answers,
    is_hang_up,
    make_answer,
    note_error,
    to_gateway_error,
)
from serving.gateway.observability.logs import ACCESS_LOGGER, log_fields
from serving.gateway.observability.metrics import UNMATCHED, GatewayMetrics
from serving.gateway.observability.tracing import Tracing

REQUEST_ID_HEADER: Final = "X-Request-ID"
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer that does not bring its own (the console has another policy)."""
TRANSPORT_SECURITY: Final = "max-age=31536000"

_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}", re.ASCII)
_FORBIDDEN_IN_HEADERS: Final = re.compile(rb"[\r\n\0]")
_SERVER_ERRORS: Final = 500
_QUIET_PATHS: Final = frozenset({"/v1/health/live", "/v1/health/ready", "/metrics"})
_access_log = structlog.stdlib.get_logger(ACCESS_LOGGER)
_log = structlog.stdlib.get_logger(__name__)


def install_observability(
    app: FastAPI, *, metrics: GatewayMetrics, tracing: Tracing, max_body_bytes: int
) -> None:
    """Put the middleware around an app; call it after every other `add_middleware`.

    Args:
        app: the app.
        metrics: where requests are counted.
        tracing: where spans go.
        max_body_bytes: largest body of a request; a larger one is refused before it is read.
    """
    install_error_answers(app)
    app.add_middleware(
        ObservabilityMiddleware, metrics=metrics, tracing=tracing, max_body_bytes=max_body_bytes
    )


def new_request_id() -> str:
    """Make an id for a request, or for one image of a batch.

    Returns:
        32 hexadecimal digits.
    """
    return uuid.uuid4().hex


def get_request_id(request: Request) -> str:
    """Find the id of a request.

    Args:
        request: one that came through the middleware.

    Returns:
        32 hexadecimal digits; never what the caller sent: an id twice would lose a record.
    """
    return request.state.request_id


def get_started_at(request: Request) -> float:
    """Find when a request began.

    Args:
        request: one that came through the middleware.

    Returns:
        `time.perf_counter()` at that moment.
    """
    return request.state.started_at


class ObservabilityMiddleware:
    """The outermost part of the app: pure ASGI, so that streams and context variables pass."""

    def __init__(
        self, app: ASGIApp, *, metrics: GatewayMetrics, tracing: Tracing, max_body_bytes: int
    ) -> None:
        """Wrap an app.

        Args:
            app: the app inside.
            metrics: where requests are counted.
            tracing: where spans go.
            max_body_bytes: largest body of a request.
        """
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Args:
            scope: of ASGI.
            receive: of ASGI.
            send: of ASGI.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, _telling_why(send))
            return
        exchange = _Exchange(scope, receive, send, self._max_body_bytes)
        self._metrics.requests_in_flight.inc()
        try:
            with (
                log_fields(request_id=exchange.request_id),
                self._tracing.request_span(
                    scope["method"], _first_values(exchange.headers)
                ) as span,
            ):
                try:
                    await self._answer(exchange)
                finally:
                    self._finish(exchange, span)
        finally:
            self._metrics.requests_in_flight.dec()

    async def _answer(self, exchange: "_Exchange") -> None:
        try:
            exchange.check_length()
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception as error:
            if is_hang_up(error):
                exchange.status = CLIENT_CLOSED
                return
            known = to_gateway_error(error)
            note_error(exchange.scope, known)
            if isinstance(known, InternalError):
                _log.error("request failed", exc_info=error)
            if exchange.status:
                raise  # half an answer is out: the server must cut the connection
            response = make_answer(known, exchange.request_id)
            await response(exchange.scope, exchange.receive, exchange.send)

    def _finish(self, exchange: "_Exchange", span: Span) -> None:
        seconds = time.perf_counter() - exchange.started_at
        scope, status = exchange.scope, exchange.status or CLIENT_CLOSED
        path, state = _route_path(scope), scope["state"]
        self._metrics.observe_request(
            path=path, method=scope["method"], status=status, seconds=seconds
        )
        if "error_code" in state:
            self._metrics.count_error(state["error_code"])
        _trace_answer(span, exchange, path, status)
        if path in _QUIET_PATHS and status < _SERVER_ERRORS:
            return
        principal = state.get("principal")
        _access_log.info(
            "request",
            method=scope["method"],
            # Without the query: cursors, and what somebody puts there by mistake.
            path=scope["path"],
            route=path,
            status=status,
            code=state.get("error_code"),
            duration_ms=round(seconds * 1000, 3),
            request_bytes=exchange.received_bytes,
            response_bytes=exchange.sent_bytes,
            key_id=principal.key_id if principal else None,
            client=(scope.get("client") or ("",))[0],
            client_request_id=exchange.client_request_id,
        )


class _Exchange:
    """One request and its answer, counted as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body_bytes: int) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self.started_at = time.perf_counter()
        self.request_id = new_request_id()
        sent = self.headers.get(REQUEST_ID_HEADER.lower(), "")
        self.client_request_id = sent if _CLIENT_ID.fullmatch(sent) else None
        self.status = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self._receive = receive
        self._send = send
        self._max_body_bytes = max_body_bytes
        state: dict[str, Any] = scope.setdefault("state", {})
        state["request_id"] = self.request_id
        state["started_at"] = self.started_at

    def check_length(self) -> None:
        length = self.headers.get("content-length", "")
        # Fourteen digits: the server has checked that they are digits, not that they are few.
        if length.isdecimal() and (len(length) > 14 or int(length) > self._max_body_bytes):
            raise self._too_large(f"Content-Length {length[:20]}")

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received_bytes += len(message.get("body", b""))
            if self.received_bytes > self._max_body_bytes:
                raise self._too_large(f"more than {self._max_body_bytes} bytes")
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._add_headers(message)
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

    def _add_headers(self, message: Message) -> None:
        message["headers"] = [
            # The server writes what it is given: a line break would be the start of a header.
            (name, _FORBIDDEN_IN_HEADERS.sub(b" ", value))
            for name, value in message.get("headers", [])
        ]
        headers = MutableHeaders(scope=message)
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if self.scope.get("scheme") == "https":
            headers.setdefault("Strict-Transport-Security", TRANSPORT_SECURITY)
        headers[REQUEST_ID_HEADER] = self.request_id

    def _too_large(self, got: str) -> GatewayError:
        return TooLargeError(
            "the body is too large.",
            got=got,
            accepted=f"at most {self._max_body_bytes} bytes",
            fix="Send fewer or smaller images.",
            headers={"Connection": "close"},
        )


def _telling_why(send: Send) -> Send:
    # The server logs why the start failed: a traceback hides the sentence that says what to do.
    async def tell(message: Message) -> None:
        error = sys.exception()
        is_failure = message["type"] == "lifespan.startup.failed"
        if is_failure and isinstance(error, PipelineError):
            message = {**message, "message": str(error)}
        await send(message)

    return tell


def _first_values(headers: Headers) -> dict[str, str]:
    wanted = ("traceparent", "tracestate")
    return {name: headers[name] for name in wanted if name in headers}


def _route_path(scope: Scope) -> str:
    route = scope.get("route")
    context = scope.get("fastapi", {}).get("effective_route_context")
    return getattr(context, "path", "") or getattr(route, "path", "") or UNMATCHED


def _trace_answer(span: Span, exchange: _Exchange, path: str, status: int) -> None:
    if not span.is_recording():
        return
    span.update_name(f"{exchange.scope['method']} {path}")
    span.set_attributes({
        "http.request.method": exchange.scope["method"],
        "http.route": path,
        "http.response.status_code": status,
        "loupe.request_id": exchange.request_id,
    })
    if status >= _SERVER_ERRORS:
        span.set_status(Status(StatusCode.ERROR))
