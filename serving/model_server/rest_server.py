"""The REST side's socket: uvicorn on a port of our choosing, stopped when we say so."""

import asyncio
import contextlib
import logging
from collections.abc import Generator
from typing import Any, Final

import uvicorn

from serving.model_server.ports import open_rest_socket

logger = logging.getLogger("loupe.model_server")

_BACKLOG: Final = 1024
_KEEP_ALIVE_SECONDS: Final = 75


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        # Signals stop the whole model server, not just this part of it.
        yield


class RestServer:
    """Serves an ASGI application."""

    def __init__(self, app: Any, port: int, grace_seconds: float) -> None:
        self._socket = open_rest_socket(port)
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=grace_seconds,  # pyright: ignore[reportArgumentType]
        )
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None
        self._port = port

    async def start(self) -> None:
        """Listen."""
        self._task = asyncio.create_task(self._server.serve([self._socket]))
        logger.info("Exporting HTTP/REST API at:localhost:%d ...", self._port)

    def stop_accepting(self) -> None:
        """Refuse new connections from now on; uvicorn alone would go on for up to 0.1 s."""
        if self._server.started:
            for server in self._server.servers:
                server.close()
        self._socket.close()

    async def stop(self) -> None:
        """Accept nothing more, and wait until requests in flight are answered."""
        self.stop_accepting()
        self._server.should_exit = True
        if self._task is not None:
            await self._task
