"""`loupe serve`: from a pushed model to an answer in the browser's address and in curl."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from components.infra_validator.process_runner import free_ports

ROOT = Path(__file__).resolve().parents[2]
SERVE = [sys.executable, "-m", "pipeline", "serve"]


@pytest.fixture(scope="module")
def served(snapshot):
    ports = free_ports(3)
    command = [*SERVE, "--config", "smoke", "--workspace", str(snapshot)]
    for flag, port in zip(("--port", "--rest-port", "--grpc-port"), ports, strict=True):
        command += [flag, str(port)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    assert process.poll() is None, "".join(lines)
    yield process, "".join(lines), ports[0]
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_printed_curl_line_works(served):
    _, output, port = served
    (line,) = re.findall(r"^curl .*$", output, re.MULTILINE)
    done = subprocess.run(
        shlex.split(line.replace("curl ", "curl --silent --fail-with-body ", 1)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    answer = httpx.Response(200, content=done.stdout).json()
    assert answer["label"]
    assert len(answer["request_id"]) == 32
    assert f"http://127.0.0.1:{port}/v1/predict" in line


def test_the_printed_address_is_the_console(served):
    _, output, port = served
    assert f"http://127.0.0.1:{port}  the web console" in output
    address = f"http://127.0.0.1:{port}/"
    page = httpx.get(address, headers={"Accept": "text/html"}, follow_redirects=True)
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


def test_a_workspace_without_a_version_is_refused_at_once(tmp_path):
    done = subprocess.run(
        [*SERVE, "--workspace", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode
    assert "holds no version" in done.stderr
    assert "make run" in done.stderr


def test_ctrl_c_ends_both_servers(served):
    process, _, port = served
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/v1/health/live")
