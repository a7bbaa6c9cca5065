"""The body of a request, read up to a limit."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, NoReturn

from fastapi import FastAPI
from starlette.requests import Request

from serving.gateway.errors import BadRequestError, RequestTimeoutError, TooLargeError
from serving.gateway.settings import UploadSettings

CLOSE: Final = {"Connection": "close"}
"""Header of answers to bodies that were not read to their end."""

_USUAL_SECONDS: Final = UploadSettings().body_timeout_seconds
_DISCARD_SECONDS: Final = 5.0
_DISCARD_BYTES: Final = 128 << 20
_MAX_DIGITS: Final = 18


def set_body_time_limit(app: FastAPI, seconds: float) -> None:
    """Tell an app how long the forms and JSON bodies of its routes may take to arrive.

    Args:
        app: the app.
        seconds: `body_timeout_seconds` of its settings.
    """
    app.state.body_seconds = seconds


def body_seconds_of(app: FastAPI) -> float:
    """Tell how long a form or a JSON body may take to arrive.

    Args:
        app: an app that was told by `set_body_time_limit`; else the usual limit holds.

    Returns:
        Seconds.
    """
    return getattr(app.state, "body_seconds", _USUAL_SECONDS)


@contextlib.asynccontextmanager
async def body_time_limit(seconds: float) -> AsyncGenerator[None]:
    """Read a body only for so long.

    Args:
        seconds: how long.

    Yields:
        Nothing; the body is read in the block.

    Raises:
        RequestTimeoutError: the body came too slowly.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise RequestTimeoutError(
            "the body did not arrive in time",
            got=f"an unfinished body after {seconds:g} s",
            accepted=f"a whole body within {seconds:g} s",
            fix="Send less, or use a faster connection.",
            headers=CLOSE,
        ) from error


class Body:
    """The body of a request, piece by piece and never more of it than is allowed.

    Args:
        request: a request whose body nobody has read.
        most_bytes: what is allowed.
    """

    def __init__(self, request: Request, most_bytes: int) -> None:
        self._request = request
        self._most = most_bytes
        self._is_finished = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read it.

        Yields:
            The pieces as they arrive.

        A body that is larger than allowed, or announced to be, raises TooLargeError; one that is
        cut off BadRequestError.
        """
        self._check_announced()
        received = 0
        while not self._is_finished:
            chunk = await self._receive()
            received += len(chunk)
            if received > self._most:
                self._refuse(f"more than {self._most} bytes")
            yield chunk

    async def read(self) -> bytes:
        """Read all of it.

        Returns:
            The body.
        """
        return b"".join([chunk async for chunk in self.chunks()])

    async def discard(self) -> None:
        """Let a refused body arrive for a while and forget it.

        Most clients look for an answer only when they have sent everything. One whose connection
        is closed before sees no reason, only a broken pipe.
        """
        if "expect" in self._request.headers:  # this one waits for the answer first
            return
        discarded = 0
        with contextlib.suppress(TimeoutError, BadRequestError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self._is_finished and discarded < _DISCARD_BYTES:
                    discarded += len(await self._receive())

    def _check_announced(self) -> None:
        announced = self._request.headers.get("content-length", "0")
        if not (announced.isascii() and announced.isdigit()):
            raise BadRequestError(
                "Content-Length is no number",
                got=announced[:100],
                accepted="a number of bytes",
                fix="Let the client library set it.",
                headers=CLOSE,
            )
        if len(announced) > _MAX_DIGITS or int(announced) > self._most:
            self._refuse(f"{announced[:_MAX_DIGITS]} bytes")

    async def _receive(self) -> bytes:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            self._is_finished = True
            raise BadRequestError(
                "the connection was closed before the body was whole",
                got="a part of a body",
                accepted="a whole body",
                fix="Send it again.",
            )
        self._is_finished = not message.get("more_body", False)
        return message.get("body", b"")

    def _refuse(self, got: str) -> NoReturn:
        raise TooLargeError(
            f"the body has {got}",
            got=got,
            accepted=f"at most {self._most} bytes",
            fix="Make the picture smaller, or send fewer at once.",
            headers=CLOSE,
        )
