"""`loupe serve`: the last pushed model, its server and the prediction API, for development."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from configs.errors import ModelNotFoundError, UpstreamError
from configs.processes import bound_to_this_process
from configs.types import SampleConfig
from configs.workspace import Workspace
from data.folders import is_image_name
from data.synthetic import draw_sample_data
from serving.model_server.client import ModelServerClient

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 30.0
_NUM_PICTURES: Final = 10


@dataclass(frozen=True)
class Ports:
    """Where the three ports are.

    Attributes:
        gateway: of the prediction API and its console.
        rest: of the model server's REST.
        grpc: of the model server's gRPC.
    """

    gateway: int
    rest: int
    grpc: int


def serve_last_model(console: Console, workspace: Workspace, model_name: str, ports: Ports) -> int:
    """Run the model server and the prediction API until Ctrl-C, or until one of them ends.

    Args:
        console: where to say what is going on.
        workspace: holds the pushed versions.
        model_name: the model.
        ports: where to listen, on loopback only.

    Returns:
        0 after Ctrl-C or SIGTERM; else the exit status of the process that ended.

    Raises:
        ModelNotFoundError: nothing was pushed yet.
        UpstreamError: a process did not start.
    """
    base_path = workspace.serving(model_name)
    if not any(child.name.isdecimal() for child in base_path.glob("*")):
        raise ModelNotFoundError(
            f"'{base_path}' holds no version, expected one that the Pusher wrote. Run `make run` "
            "first, or give that run's workspace."
        )
    logs = workspace.gateway_state
    logs.mkdir(parents=True, exist_ok=True)
    stopping = _stop_on_signals()
    with contextlib.ExitStack() as stack:
        with console.status("starting the model server"):
            command = _model_server(base_path, model_name, ports)
            server = stack.enter_context(_process(command, logs / "model-server.log"))
            _wait_for_model(server, model_name, ports)
        with console.status("starting the prediction API"):
            command = [sys.executable, "-m", "serving.gateway"]
            environment = _gateway_environment(workspace, model_name, ports)
            gateway = stack.enter_context(_process(command, logs / "gateway.log", environment))
            _wait_for_gateway(gateway, ports, logs / "gateway.log")
        _say_where(console, workspace, ports)
        while not stopping:
            for name, process in (("model server", server), ("prediction API", gateway)):
                if process.poll() is not None:
                    console.print(f"The {name} ended by itself; its log says why.")
                    return process.returncode or 1
            time.sleep(_POLL_SECONDS)
    return 0


def _model_server(base_path: Path, model_name: str, ports: Ports) -> list[str]:
    return [
        *(sys.executable, "-m", "serving.model_server"),
        *(f"--port={ports.grpc}", f"--rest_api_port={ports.rest}"),
        *(f"--model_name={model_name}", f"--model_base_path={base_path}"),
        "--enable_batching",
    ]


def _gateway_environment(workspace: Workspace, model_name: str, ports: Ports) -> dict[str, str]:
    settings = {
        "HOST": HOST,
        "PORT": str(ports.gateway),
        "STATE_FOLDER": str(workspace.gateway_state),
        "UNSAFE_NO_AUTH": "true",
        "SECURE_COOKIES": "false",
        "MODEL__GRPC_ADDRESS": f"{HOST}:{ports.grpc}",
        "MODEL__REST_URL": f"http://{HOST}:{ports.rest}",
        "MODEL__NAME": model_name,
    }
    return {f"LOUPE_GATEWAY_{name}": value for name, value in settings.items()}


@contextlib.contextmanager
def _process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Generator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            bound_to_this_process(list(command)),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for this process, which ends its children in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_model(process: "subprocess.Popen[bytes]", model_name: str, ports: Ports) -> None:
    with ModelServerClient(
        grpc_address=f"{HOST}:{ports.grpc}", rest_address=f"{HOST}:{ports.rest}"
    ) as client:
        client.wait_until_available(model_name, _START_SECONDS, lambda: process.poll() is None)


def _wait_for_gateway(process: "subprocess.Popen[bytes]", ports: Ports, log: Path) -> None:
    url = f"http://{HOST}:{ports.gateway}/v1/health/ready"
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise UpstreamError(
        f"the prediction API at {url} did not become ready. Read '{log}'. Where the port is taken, "
        "choose another with --port."
    )


def _stop_on_signals() -> list[int]:
    received: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, _: received.append(signum))
    return received


def _say_where(console: Console, workspace: Workspace, ports: Ports) -> None:
    address = f"http://{HOST}:{ports.gateway}"
    picture = _find_picture(workspace)
    console.print(f"[bold]{address}[/]  the web console (no sign-in: this is for development)")
    console.print(
        f"curl --form image=@{shlex.quote(str(picture))} {address}/v1/predict",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"Logs are in {workspace.gateway_state}. Ctrl-C stops both servers.")


def _find_picture(workspace: Workspace) -> Path:
    # The user's own pictures may be anywhere by now; a drawn one makes the line work everywhere.
    folder = workspace.sample_data
    if not folder.is_dir():
        folder = workspace.gateway_state / "pictures"
        if not folder.is_dir():
            draw_sample_data(folder, SampleConfig(num_images=_NUM_PICTURES))
    return next(path for path in sorted(folder.rglob("*")) if is_image_name(path.name))
