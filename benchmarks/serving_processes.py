"""The processes of `benchmarks.serving`: servers that are ended again, steps that report JSON."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.processes import measure_command
from benchmarks.runs import last_json_line
from benchmarks.serving_model import MODEL_NAME
from benchmarks.serving_peer import READY_PATH
from configs.errors import ConfigError, StageError
from configs.load import REPOSITORY_ROOT
from serving.model_server.client import ModelServerClient
from serving.model_server.flags import parse_flags

START_SECONDS: Final = 120
BATCHING_FILE: Final = REPOSITORY_ROOT / "deploy" / "tf_serving" / "batching_parameters.txt"


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        process_id: of the server.
        grpc_port: of gRPC; 0 when there is none.
        rest_port: of HTTP.
        log: what it prints.
        start_seconds: from the start of the process until it was ready.
    """

    process_id: int
    grpc_port: int
    rest_port: int
    log: Path
    start_seconds: float

    def resident_bytes(self) -> int:
        """Look at the memory of the process now.

        Returns:
            Bytes.
        """
        return psutil.Process(self.process_id).memory_info().rss

    def client(self) -> ModelServerClient:
        """Make a client.

        Returns:
            The client, to be closed.
        """
        return ModelServerClient(
            grpc_address=f"127.0.0.1:{self.grpc_port}", rest_address=f"127.0.0.1:{self.rest_port}"
        )


def batching_flags() -> list[str]:
    """Ask the server's own parser whether it can batch.

    Returns:
        The flags that turn batching on; none when they are refused.
    """
    flags = ["--enable_batching", f"--batching_parameters_file={BATCHING_FILE}"]
    try:
        parse_flags(["--model_base_path=/models", *flags])
    except ConfigError:
        return []
    return flags


@contextlib.contextmanager
def model_server(base_path: Path, log: Path, flags: Sequence[str]) -> Generator[Server]:
    """Run `python -m serving.model_server` until the block ends.

    Args:
        base_path: folder of the versions.
        log: file for what the server prints.
        flags: further flags.

    Yields:
        The server, whose model is available.

    Raises:
        StageError: it did not start.
    """
    ports = free_port(), free_port()
    command = ["-m", "serving.model_server", f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
    command += [f"--model_name={MODEL_NAME}", f"--model_base_path={base_path}", *flags]
    started = time.monotonic()
    with process(command, log) as running:
        server = Server(running.pid, *ports, log, 0.0)
        with server.client() as client:
            client.wait_until_available(MODEL_NAME, START_SECONDS, lambda: running.poll() is None)
        yield dataclasses.replace(server, start_seconds=time.monotonic() - started)


@contextlib.contextmanager
def peer_server(peer: str, model: Path, side_pixels: int, log: Path) -> Generator[Server]:
    """Run `benchmarks.serving_peer` until the block ends.

    Args:
        peer: `fastapi` or `litserve`.
        model: its model.
        side_pixels: height and width of its input.
        log: file for what it prints.

    Yields:
        The server, ready for requests.

    Raises:
        StageError: it did not start.
    """
    arguments = [peer, str(model), f"--side-pixels={side_pixels}"]
    with _ready_process("serving_peer", arguments, log) as running:
        yield running


@contextlib.contextmanager
def bare_gateway(server: Server, log: Path) -> Generator[Server]:
    """Run `benchmarks.gateway_bare` in front of a model server until the block ends.

    Args:
        server: the model server.
        log: file for what it prints.

    Yields:
        The gateway, ready for requests.

    Raises:
        StageError: it did not start.
    """
    with _ready_process("gateway_bare", [f"--grpc-port={server.grpc_port}"], log) as running:
        yield running


@contextlib.contextmanager
def _ready_process(module: str, arguments: Sequence[str], log: Path) -> Generator[Server]:
    port = free_port()
    started = time.monotonic()
    with process(["-m", f"benchmarks.{module}", *arguments, f"--port={port}"], log) as running:
        while not answers(f"http://127.0.0.1:{port}{READY_PATH}"):
            if running.poll() is not None or time.monotonic() > started + START_SECONDS:
                raise StageError(f"benchmarks.{module} did not start. See '{log}'.")
            time.sleep(0.1)
        yield Server(running.pid, 0, port, log, time.monotonic() - started)


def run_step(folder: Path, module: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run a module of the benchmark as a process.

    Args:
        folder: gets what it prints.
        module: name below `benchmarks`.
        arguments: its command line.

    Returns:
        The line of JSON that it printed.

    Raises:
        StageError: it failed.
    """
    output = folder / f"{module}.txt"
    cost = measure_command([sys.executable, "-m", f"benchmarks.{module}", *arguments], output)
    report = last_json_line(output)
    if cost.exit_code or report is None:
        raise StageError(
            f"benchmarks.{module} ended with status {cost.exit_code}, so nothing was measured. "
            f"See '{output}'."
        )
    return report


def free_port() -> int:
    """Find a TCP port that nobody uses.

    Returns:
        The port.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def process(
    arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Generator["subprocess.Popen[bytes]"]:
    """Run Python until the block ends; then it and its children are killed.

    Args:
        arguments: of the interpreter.
        log: file for what it prints.
        environment: its variables; None for this process' own.

    Yields:
        The process.
    """
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # LitServe's workers outlive it: all of them are ended
        )
    try:
        yield running
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def answers(url: str) -> bool:
    """Ask a server whether it is ready.

    Args:
        url: of its check.

    Returns:
        Whether it answered with success.
    """
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own port
            return True
    except (urllib.error.URLError, OSError):
        return False
