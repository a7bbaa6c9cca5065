"""Checks a machine before it is trusted with a run, and says what to do about what is wrong."""

import ctypes.util
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from packaging import tags
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.load import REPOSITORY_ROOT
from pipeline.cli import checks
from pipeline.cli.checks import SERVER_BINARY, SERVER_MODULE, Finding, Status

LOCK_FILE = REPOSITORY_ROOT / "requirements/pipeline.lock"
CGROUP = Path("/sys/fs/cgroup")
SERVER_PORTS = {"gRPC": 8500, "REST": 8501}
CUDA_PACKAGE, CUDA_LIBRARY = "nvidia-cudnn-cu12", "cudnn"
PROBE_SECONDS = 10


def run_doctor(console: Console, workspace: Path) -> bool:
    """Check this machine, print the findings and what to do about each wrong thing.

    Args:
        console: where to print.
        workspace: folder that runs will write to; need not exist.

    Returns:
        True when nothing stops a run.
    """
    findings = examine(workspace)
    console.print(_as_table(findings))
    wrong = [finding for finding in findings if finding.status is not Status.OK]
    for finding in wrong:
        console.print(f"{_MARKS[finding.status]} {finding.name}: {escape(finding.fix)}")
    if not wrong:
        console.print("Nothing is wrong. Next: [bold]make run[/bold]")
    return all(finding.status is not Status.PROBLEM for finding in findings)


def examine(workspace: Path) -> list[Finding]:
    """Run every check on this machine.

    Args:
        workspace: folder that runs will write to; need not exist.

    Returns:
        One finding for each thing that was checked.
    """
    ports = [checks.check_port(name, port) for name, port in SERVER_PORTS.items()]
    return [
        checks.check_python(sys.version_info[:3]),
        checks.check_glibc(os.confstr("CS_GNU_LIBC_VERSION") or ""),
        checks.check_wheel_tags({tag.platform for tag in tags.sys_tags()}),
        checks.check_packages(_read_lock(LOCK_FILE), installed_version),
        checks.check_disk(workspace),
        checks.check_memory(available_memory()),
        checks.check_gpu(
            list(Path("/dev").glob("nvidia[0-9]*")), _ask("nvidia-smi", "-L"), has_cuda()
        ),
        *ports,
        checks.check_model_server(
            shutil.which(SERVER_BINARY), _has_module(f"{SERVER_MODULE}.__main__")
        ),
        checks.check_docker(shutil.which("docker"), _ask("docker", "info", "--format", "{{.ID}}")),
    ]


def available_memory(cgroup: Path = CGROUP) -> int:
    """Measure the memory that new processes can take.

    Args:
        cgroup: folder of the control group that limits a container.

    Returns:
        Bytes; the smaller of what the machine and the container have left.
    """
    available = int(psutil.virtual_memory().available)
    try:
        limit = int((cgroup / "memory.max").read_text(encoding="ascii"))
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        # No control group, or its limit is the word "max".
        return available
    return min(available, max(limit - used, 0))


def has_cuda() -> bool:
    """Look for the CUDA libraries that TensorFlow loads.

    Returns:
        True when they are installed as a package or in the system.
    """
    return bool(installed_version(CUDA_PACKAGE) or ctypes.util.find_library(CUDA_LIBRARY))


def installed_version(name: str) -> str | None:
    """Look up an installed package.

    Args:
        name: its name.

    Returns:
        Its version; None when it is not installed.
    """
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _ask(*command: str) -> str | None:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _read_lock(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _as_table(findings: Sequence[Finding]) -> Table:
    table = Table("check", "", "found", title="This machine", title_justify="left")
    for finding in findings:
        table.add_row(finding.name, _MARKS[finding.status], escape(finding.detail))
    return table


_MARKS = {
    Status.OK: "[green]ok[/green]",
    Status.WARNING: "[yellow]warning[/yellow]",
    Status.PROBLEM: "[red]problem[/red]",
}
