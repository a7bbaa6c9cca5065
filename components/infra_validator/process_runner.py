"""A model server as a process of this machine, in TFX's terms for runners."""

import contextlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
from tfx.components.infra_validator import error_types
from tfx.components.infra_validator.model_server_runners import base_runner

from configs.processes import bound_to_this_process

SERVER_BINARY = "tensorflow_model_server"
STOP_SECONDS = 15
LOG_TAIL_CHARACTERS = 4000


def default_server_command() -> list[str]:
    """Choose the server that is at hand.

    Returns:
        The C++ server when it is on PATH, else our own, in this interpreter.
    """
    binary = shutil.which(SERVER_BINARY)
    return [binary] if binary else [sys.executable, "-m", "serving.model_server"]


def free_ports(count: int) -> list[int]:
    """Find ports nobody listens on.

    Args:
        count: how many.

    Returns:
        Distinct port numbers.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class ProcessRunner(base_runner.BaseModelServerRunner):
    """Runs a model server on free ports.

    Args:
        command: the server's command line, without flags of ours.
        model_name: name under which the model is served.
        model_base_path: folder that holds the version folder.
        log_file: where the server's output goes.
    """

    def __init__(
        self, command: list[str], model_name: str, model_base_path: Path, log_file: Path
    ) -> None:
        self._command = command
        self._model_name = model_name
        self._model_base_path = model_base_path
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self.grpc_port, self.rest_port = free_ports(2)

    def __repr__(self) -> str:
        return f"ProcessRunner({shlex.join(self._command)})"

    def GetEndpoint(self) -> str:  # noqa: N802
        """Tell where the server listens.

        Returns:
            `host:port` of its gRPC service.
        """
        return f"127.0.0.1:{self.grpc_port}"

    def Start(self) -> None:  # noqa: N802
        """Start the process."""
        flags = [
            f"--port={self.grpc_port}",
            f"--rest_api_port={self.rest_port}",
            f"--model_name={self._model_name}",
            f"--model_base_path={self._model_base_path.resolve()}",
            "--max_num_load_retries=0",
        ]
        with self._log_file.open("wb") as log:
            self._process = subprocess.Popen(
                bound_to_this_process([*self._command, *flags]),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def WaitUntilRunning(self, deadline: float) -> None:  # noqa: N802
        """Wait until the server listens, which it does once the model is AVAILABLE.

        Args:
            deadline: seconds since 1970.

        Raises:
            JobAborted: the process ended.
            DeadlineExceeded: it was not ready in time.
        """
        while time.time() < deadline:
            status = self._running().poll()
            if status is not None:
                raise error_types.JobAborted(f"the server ended with status {status}")
            with contextlib.suppress(OSError):
                for port in (self.grpc_port, self.rest_port):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            time.sleep(0.1)
        raise error_types.DeadlineExceeded("the model was not AVAILABLE in time")

    def Stop(self) -> None:  # noqa: N802
        """End the process: politely, then for good."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def GetLogs(self) -> str:  # noqa: N802
        """Read what the server said.

        Returns:
            The end of its output.
        """
        return self._log_file.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def memory_bytes(self) -> int:
        """Measure the server's resident memory.

        Returns:
            Bytes.
        """
        return psutil.Process(self._running().pid).memory_info().rss

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise error_types.InfraValidationError("the server was not started")
        return self._process
