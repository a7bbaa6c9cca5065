import io
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from configs.load import REPOSITORY_ROOT
from pipeline.cli import doctor
from pipeline.cli.checks import Status


def examine_text(workspace: Path) -> tuple[bool, str]:
    console = Console(file=io.StringIO(), width=200)
    healthy = doctor.run_doctor(console, workspace)
    return healthy, console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_doctor_shows_every_check(tmp_path: Path):
    names = {finding.name for finding in doctor.examine(tmp_path)}
    assert names == {
        *("Python", "glibc", "wheel tags", "packages", "disk", "memory", "GPU"),
        *("gRPC port", "REST port", "model server", "Docker"),
    }
    text = examine_text(tmp_path)[1]
    assert all(name in text for name in names)


def test_doctor_finds_this_environment_able_to_run_tfx(tmp_path: Path):
    findings = {finding.name: finding for finding in doctor.examine(tmp_path)}
    for name in ("Python", "glibc", "wheel tags", "packages"):
        assert findings[name].status is Status.OK, findings[name]


def test_doctor_is_healthy_exactly_when_nothing_is_a_problem(tmp_path: Path):
    problems = [f for f in doctor.examine(tmp_path) if f.status is Status.PROBLEM]
    assert examine_text(tmp_path)[0] == (not problems)


def test_doctor_says_what_to_do_about_a_taken_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(doctor, "SERVER_PORTS", {"REST": server.getsockname()[1]})
        text = examine_text(tmp_path)[1]
    assert "is taken" in text
    assert "make serve REST_PORT=N" in text


def test_doctor_names_what_stops_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lock = tmp_path / "pipeline.lock"
    lock.write_text("no-such-package-anywhere==1.0\n")
    monkeypatch.setattr(doctor, "LOCK_FILE", lock)
    healthy, text = examine_text(tmp_path)
    assert not healthy
    assert "no-such-package-anywhere missing (locked 1.0)" in text
    assert "make clean setup" in text


def test_memory_is_limited_by_the_container(tmp_path: Path):
    assert doctor.available_memory(tmp_path) <= psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert doctor.available_memory(tmp_path) == 2000
    (tmp_path / "memory.current").write_text("4000\n")
    assert doctor.available_memory(tmp_path) == 0


def test_memory_without_a_limit_is_the_machines(tmp_path: Path):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert doctor.available_memory(tmp_path) > 2**20


def test_doctor_imports_nothing_heavy():
    code = "import sys, pipeline.cli.doctor; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"tensorflow", "tfx", "apache_beam", "numpy"} & set(modules)
