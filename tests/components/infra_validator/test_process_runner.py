import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from tfx.components.infra_validator import error_types

from components.infra_validator.process_runner import (
    ProcessRunner,
    default_server_command,
    free_ports,
)

LISTENER = (
    "import signal, socket, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('asked to stop', flush=True), sys.exit(0)))\n"
    "flags = dict(a.lstrip('-').split('=', 1) for a in sys.argv[1:])\n"
    "print('serving', flags['model_name'], flush=True)\n"
    "ports = [int(flags[name]) for name in ('port', 'rest_api_port')]\n"
    "servers = [socket.create_server(('127.0.0.1', port)) for port in ports]\n"
    "time.sleep(600)\n"
)


def runner_of(tmp_path, program):
    return ProcessRunner([sys.executable, "-c", program], "m", tmp_path, tmp_path / "server.log")


def test_free_ports_are_free_and_distinct():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_server_that_listens_is_running_until_stopped(tmp_path):
    runner = runner_of(tmp_path, LISTENER)
    runner.Start()
    runner.WaitUntilRunning(time.time() + 30)
    assert runner.memory_bytes() > 1_000_000
    runner.Stop()
    assert runner.GetLogs().splitlines() == ["serving m", "asked to stop"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", runner.grpc_port), timeout=1)


def test_a_server_that_ends_is_reported_with_its_status(tmp_path):
    runner = runner_of(tmp_path, "print('no such model'); raise SystemExit(7)")
    runner.Start()
    with pytest.raises(error_types.JobAborted, match="ended with status 7"):
        runner.WaitUntilRunning(time.time() + 30)
    assert "no such model" in runner.GetLogs()
    runner.Stop()


def test_a_server_that_never_listens_runs_out_of_time(tmp_path):
    runner = runner_of(tmp_path, "import time; time.sleep(600)")
    runner.Start()
    try:
        with pytest.raises(error_types.DeadlineExceeded, match="not AVAILABLE in time"):
            runner.WaitUntilRunning(time.time() + 0.5)
    finally:
        runner.Stop()


def test_a_killed_run_leaves_no_server_behind(tmp_path):
    program = (
        "import sys, time; from pathlib import Path\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "from components.infra_validator.process_runner import ProcessRunner\n"
        "command = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "r = ProcessRunner(command, 'm', folder, folder / 'log')\n"
        "r.Start(); print(r._process.pid, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert psutil.wait_procs([child], timeout=10)[1] == []


def test_the_cpp_server_is_preferred_when_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert default_server_command() == [sys.executable, "-m", "serving.model_server"]
    binary = tmp_path / "tensorflow_model_server"
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    assert default_server_command() == [str(binary)]
