"""Large JSON bodies are read in a process of their own.

A JSON parser holds the interpreter lock from the first byte to the last, in whatever thread it
runs: 200 MB of numbers would stop every other request for seconds.
"""

import asyncio
import dataclasses
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Final

from serving.model_server.errors import Code, ServingError
from serving.model_server.json_predict import Format, parse_body, read_inputs
from serving.model_server.servable import DEFAULT_SIGNATURE, Signature, Tensors, TensorSpec

# Not `-m`: what the process sends back must be of this module, not of one named __main__.
_CODE: Final = "import sys; from serving.model_server.json_worker import main; main(sys.argv[1:])"
_SMALL_BYTES: Final = 64 * 2**10
_LARGE_BYTES: Final = 8 * 2**20
_MAX_COMMAS: Final = 10_000
"""Parsing takes about 1 us per value, whatever its length."""

InputSpecs = dict[str, dict[str, TensorSpec]]
"""Signature to input alias to its spec, without handle."""


@dataclasses.dataclass(frozen=True)
class JsonRequest:
    """What a body says.

    Attributes:
        signature_name: the signature that it names; empty for the default one.
        inputs: a tensor for each input; empty when there is no such signature.
        reply_format: its form, and so that of the reply.
    """

    signature_name: str
    inputs: Tensors
    reply_format: Format


def is_slow_to_read(body: bytes) -> bool:
    """Tell whether reading a body would hold up other requests for more than about 10 ms.

    Args:
        body: JSON; one image in base64 is quick to read, a million numbers are not.

    Returns:
        True when it belongs in another process.
    """
    if len(body) <= _SMALL_BYTES:
        return False
    return len(body) > _LARGE_BYTES or body.count(b",") > _MAX_COMMAS


class JsonWorker:
    """The process that reads large bodies, one after the other; started by the first of them."""

    def __init__(self) -> None:
        # One thread: the process is asked one thing at a time, and a client that hangs up
        # cancels its coroutine, never half an exchange.
        self._thread = ThreadPoolExecutor(1, "json-worker")
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    async def read(self, body: bytes, signatures: Mapping[str, Signature]) -> JsonRequest:
        """Read the body of a `:predict`.

        Args:
            body: JSON.
            signatures: those of the version that is asked for.

        Returns:
            Its inputs.

        Raises:
            ServingError: as `parse_body` and `read_inputs`; UNAVAILABLE when the process died.
        """
        specs: InputSpecs = {
            name: {
                alias: dataclasses.replace(spec, handle=None)
                for alias, spec in signature.inputs.items()
            }
            for name, signature in signatures.items()
        }
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._thread, self._exchange, specs, body)
        if isinstance(answer, JsonRequest):
            return answer
        code, message = answer
        raise ServingError(Code(code), message)

    def close(self) -> None:
        """End the process."""
        self._thread.submit(self._stop).result()
        self._thread.shutdown()

    def _exchange(self, specs: InputSpecs, body: bytes) -> JsonRequest | tuple[int, str]:
        connection = self._connection or self._start()
        try:
            connection.send(specs)
            connection.send_bytes(body)
            return connection.recv()
        except (OSError, EOFError) as error:
            status = self._stop()
            raise ServingError(
                Code.UNAVAILABLE,
                f"the process that reads large bodies ended (exit code {status}) over one of "
                f"{len(body)} bytes. Send fewer instances, or try again.",
            ) from error

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._connection = Connection(ours.detach())
        return self._connection

    def _stop(self) -> int | None:
        if self._connection is not None:
            self._connection.close()
        process, self._process, self._connection = self._process, None, None
        return process.wait() if process else None


def main(arguments: Sequence[str]) -> None:
    """Read bodies for the parent process until it hangs up.

    Args:
        arguments: the number of the socket's file descriptor.
    """
    # A signal to the whole process group is the parent's business: it drains, then hangs up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with Connection(int(arguments[0])) as connection:
        while True:
            try:
                specs = connection.recv()
                connection.send(_read(connection.recv_bytes(), specs))
            except (OSError, EOFError):
                return


def _read(body: bytes, specs: InputSpecs) -> JsonRequest | tuple[int, str]:
    try:
        parsed = parse_body(body)
        inputs = specs.get(parsed.signature_name or DEFAULT_SIGNATURE)
        if inputs is None:  # the parent has the words for it
            return JsonRequest(parsed.signature_name, {}, Format.ROW)
        signature = Signature(parsed.signature_name, "", inputs, {}, _run_nothing)
        return JsonRequest(parsed.signature_name, *read_inputs(parsed, signature))
    except ServingError as error:
        return error.code.value, error.message


def _run_nothing(feeds: Mapping[Any, Any], fetches: Sequence[Any], timeout_ms: int) -> list[Any]:
    del feeds, fetches, timeout_ms
    raise ServingError(Code.INTERNAL, "this process has no model")
