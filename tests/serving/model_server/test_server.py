"""Start-up, refusal to start and stopping, as a user sees them: command, words, exit code."""

import http.client
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]


def run(*flags):
    command = [sys.executable, "-m", "serving.model_server", *flags]
    return subprocess.run(
        command, cwd=REPOSITORY_ROOT, capture_output=True, text=True, timeout=100, check=False
    )


def test_it_waits_for_a_missing_base_path_then_serves_then_drains(
    tmp_path, launch, push, make_gate
):
    base_path = tmp_path / "models" / "late"
    server = launch(
        "--model_name=late", f"--model_base_path={base_path}", "--grace_period_seconds=3"
    )
    wait_for_log(server, "model late waits for its versions: [Errno 2] No such file")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.rest_port))
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    push(incoming, 3)
    base_path.parent.mkdir()
    incoming.rename(base_path)
    with server.client() as client:
        assert client.wait_until_available("late", 60, server.is_alive) == 3
    assert_drains(server, make_gate("held"), make_gate("stuck"))


def assert_drains(server, held, stuck):
    idle = http.client.HTTPConnection("127.0.0.1", server.rest_port)
    idle.request("GET", "/readyz")
    assert idle.getresponse().read() == b'{"status": "ready"}'
    calls = [Call(server, gate) for gate in (held, stuck)]
    server.process.terminate()
    wait_for_log(server, "stopping: requests in flight have 3 s")
    held.open()
    assert calls[0].join() == (200, {"outputs": [3.0]})
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.rest_port))
    assert server.process.wait(20) == 0
    assert isinstance(calls[1].join(), http.client.HTTPException | OSError | ValueError)


class Call(threading.Thread):
    """A request that stays in the model until its gate opens."""

    def __init__(self, server, gate):
        super().__init__()
        self.server, self.gate, self.answer = server, gate, None
        self.start()
        gate.wait_until_reached()

    def run(self):
        body = {"signature_name": "hold", "inputs": [str(self.gate.path)]}
        try:
            self.answer = self.server.post("/v1/models/late:predict", body)
        except (http.client.HTTPException, OSError, ValueError) as error:
            self.answer = error

    def join(self, timeout=None):
        super().join(timeout)
        return self.answer


def wait_for_log(server, text):
    # The log of a process can only be looked at again and again; waiting ends with the process.
    while text not in server.log.read_text():
        assert server.is_alive(), server.log.read_text()
        time.sleep(0.05)


def test_a_model_whose_only_version_is_broken_ends_the_start(tmp_path, affine_folders):
    shutil.copytree(affine_folders[1], tmp_path / "1")
    shutil.rmtree(tmp_path / "1" / "variables")
    result = run(
        f"--model_base_path={tmp_path}",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=0",
    )
    assert result.returncode == 255
    assert "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: " in (
        result.stdout
    )
    assert "{name: default version: 1} due to error: " in result.stdout
    assert "attempt 2 of 2" in result.stderr


@pytest.mark.parametrize("flag", ["port", "rest_api_port"])
def test_a_port_that_is_taken_is_told_at_once(tmp_path, flag):
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        sock.listen()
        port = sock.getsockname()[1]
        result = run(f"--{flag}={port}", f"--model_base_path={tmp_path}")
    assert result.returncode == 255
    assert result.stdout == (
        f"Failed to start server. Error: --{flag}={port} cannot be opened: Address already in use. "
        "Stop what uses it, or choose another port.\n"
    )


def test_a_config_file_that_does_not_parse_is_told_on_stderr(tmp_path):
    file = tmp_path / "bad.config"
    file.write_text("model_config_list { nonsense")
    result = run(f"--model_config_file={file}")
    assert result.returncode == 255
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:" in result.stderr
    assert "Failed to start server." in result.stdout


def test_a_flag_that_cannot_be_honoured_is_refused():
    result = run("--model_base_path=/m", "--prefer_tflite_model")
    assert result.returncode == 255
    assert result.stdout.startswith(
        "--prefer_tflite_model cannot be honoured: only SavedModels are served. "
        "Remove the flag, or use tensorflow_model_server."
    )


def test_unknown_arguments_are_told_and_do_not_stop_it():
    result = run("--modelname=x", "--model_base_path=relative")
    assert "unknown argument: --modelname=x\nusage: " in result.stdout
    assert "to have an absolute path or URI; got base_path()=relative" in result.stdout


def test_version():
    result = run("--version")
    assert result.returncode == 0
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        "TensorFlow ModelServer",
        "TensorFlow Library",
    ]
