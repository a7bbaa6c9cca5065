"""Limits of what comes before a request's body, which uvicorn reads without any."""

import asyncio
from typing import Any, Final

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.gateway.errors import BadRequestError, GatewayError, RequestTimeoutError
from serving.gateway.observability.middleware import SECURITY_HEADERS, new_request_id

MAX_HEAD_BYTES: Final = 64 << 10
"""Request line and headers together."""
HEAD_SECONDS: Final = 10.0
"""How long they may take to arrive, also the first ones of a new connection."""


class HeadersTooLargeError(GatewayError):
    """A request line and headers over the limit."""

    http_status = 431
    code = "headers_too_large"


class GuardedProtocol(HttpToolsProtocol):
    """HTTP/1.1 that refuses requests whose head is too large, too slow or malformed."""

    _head_bytes = 0
    _is_in_head = True
    _refusal: GatewayError | None = None
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Wait for the first request, not for ever.

        Args:
            transport: the connection.
        """
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting.

        Args:
            exc: why it was lost.
        """
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what came.

        Args:
            data: any part of any request.
        """
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        # The parser holds back what is no whole header yet.
        if self._is_in_head and self._head_bytes > MAX_HEAD_BYTES and not self._refusal:
            self._refuse(_too_large())

    def on_message_begin(self) -> None:
        """Begin to read a request."""
        super().on_message_begin()
        if not self._is_in_head:
            self._is_in_head, self._head_bytes = True, 0
            self._start_timer()

    def on_headers_complete(self) -> None:
        """Begin to answer the request.

        Raises:
            ValueError: its head is too large; the parser stops, and `send_400_response` is called.
        """
        head = [self.url, *(part for header in self.headers for part in header)]
        if sum(map(len, head)) > MAX_HEAD_BYTES:
            self._refusal = _too_large()
            raise ValueError(self._refusal.message)
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the form of all errors.

        Args:
            msg: what uvicorn would say.
        """
        self._refuse(
            self._refusal
            or BadRequestError(
                "the request is not valid HTTP/1.1", got=msg, fix="Use an HTTP client library."
            )
        )

    def _start_timer(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._end_slow_head)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_slow_head(self) -> None:
        if not self._head_bytes:  # nothing was asked, so nothing is answered
            self.transport.close()
            return
        self._refuse(
            RequestTimeoutError(
                "the headers did not arrive in time",
                accepted=f"all of them within {HEAD_SECONDS:g} s",
                fix="Use a faster connection.",
            )
        )

    def _refuse(self, error: GatewayError) -> None:
        self._refusal = error
        self._stop_timer()
        is_answering: Any = self.cycle and not self.cycle.response_complete
        if not is_answering:  # else the answer in progress would be torn
            body = orjson.dumps(error.to_body(new_request_id()))
            headers = SECURITY_HEADERS | {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            self.transport.write(STATUS_LINE[error.http_status] + lines.encode() + b"\r\n" + body)
        self.transport.close()


def _too_large() -> HeadersTooLargeError:
    return HeadersTooLargeError(
        "the request line and headers are too large",
        got=f"more than {MAX_HEAD_BYTES} bytes",
        accepted=f"at most {MAX_HEAD_BYTES} bytes",
        fix="Leave out cookies and other headers that are not needed.",
    )
