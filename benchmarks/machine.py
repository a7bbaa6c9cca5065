"""Facts of the machine, without which a measured second means nothing."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from configs.load import REPOSITORY_ROOT

PACKAGES = ("tensorflow", "keras", "tfx", "apache-beam", "numpy", "pyarrow", "pillow")


def machine_facts() -> dict[str, Any]:
    """Describe this machine and this code.

    Returns:
        Cores that may be used, memory, CPU model, load before the benchmark, versions, commit
        (with `+changes` when the working tree differs) and date.
    """
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "cpu": _cpu_model(),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "commit": _commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "--untracked-files=no")
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"  # no git, or the sources without their history
    return commit + ("+changes" if changes else "")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPOSITORY_ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
