"""The worker pool beside a Flink task manager: starts a Beam worker whenever it is asked for one.

python -m components.beam_worker_pool --port 50000

Beam's own pool starts whatever is called `python`, leaves its workers behind when it is terminated,
and listens on every address of the machine, though any caller can make it run code.
"""

import argparse
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from configs.errors import ConfigError
from configs.processes import bound_to_this_process

DEFAULT_PORT = 50_000
STOP_TIMEOUT_SECONDS = 10

logger = logging.getLogger("loupe.beam_worker_pool")


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts and stops worker processes; they end with this one, however it ends."""

    def __init__(self) -> None:
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def StartWorker(  # noqa: N802
        self,
        request: Any,
        context: grpc.ServicerContext,  # noqa: ARG002 (gRPC's signature)
    ) -> Any:
        """Start a worker.

        Args:
            request: its identity, and where it gets what.
            context: of the call.

        Returns:
            A response that is empty, or says why there is no worker.
        """
        command = [sys.executable, "-m", "components.beam_worker", f"--id={request.worker_id}"]
        for name in ("provision", "control", "logging", "artifact"):
            url = getattr(request, f"{name}_endpoint").url
            command += [f"--{name}_endpoint={url}"] if url else []
        try:
            # What it prints joins this log; its parent is this process, so the kernel can end it.
            worker = subprocess.Popen(bound_to_this_process(command), stdin=subprocess.DEVNULL)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=f"no worker could be started: {error}")
        with self._lock:
            self._workers[request.worker_id] = worker
        logger.info("worker %s has process id %d", request.worker_id, worker.pid)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self,
        request: Any,
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> Any:
        """Stop a worker; one that has ended already is fine.

        Args:
            request: its identity.
            context: of the call.

        Returns:
            An empty response.
        """
        with self._lock:
            worker = self._workers.pop(request.worker_id, None)
        if worker is not None:
            _end(worker)
        return beam_fn_api_pb2.StopWorkerResponse()

    def close(self) -> None:
        """Stop every worker."""
        with self._lock:
            workers = list(self._workers.values())
            self._workers.clear()
        for worker in workers:
            _end(worker)


def _end(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()
    try:
        worker.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def serve(pool: WorkerPool, host: str, port: int) -> tuple[grpc.Server, int]:
    """Listen for requests.

    Args:
        pool: answers them.
        host: address to listen on.
        port: port; 0 chooses a free one.

    Returns:
        The server, started, and its port.

    Raises:
        ConfigError: the port is taken.
    """
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise ConfigError(
            f"port {port} of '{host}' cannot be listened on. Stop what uses it, or choose --port."
        ) from error
    server.start()
    return server, bound


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until terminated.

    Args:
        arguments: flags; None means those of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="localhost", help="Address to listen on.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 chooses a free one.")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO)
    pool = WorkerPool()
    try:
        server, port = serve(pool, options.host, options.port)
    except ConfigError as error:
        sys.exit(f"ConfigError: {error}")
    is_over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_over.set())
    print(f"listening on {options.host}:{port}", flush=True)
    is_over.wait()
    server.stop(grace=None)
    pool.close()


if __name__ == "__main__":
    main()
