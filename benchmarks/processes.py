"""What a command costs: seconds, CPU seconds and memory of it and of everything it starts."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from configs.load import REPOSITORY_ROOT

SAMPLING_SECONDS = 0.2


@dataclass(frozen=True)
class Cost:
    """What one command cost.

    Attributes:
        seconds: from start to end, as a clock on the wall shows.
        cpu_seconds: user and system time of the command and of every process it waited for.
        peak_tree_bytes: largest sum of the resident memory of the command and all its descendants,
            sampled five times a second. Pages that processes share count once for each.
        peak_process_bytes: largest resident memory of any one of them, as the kernel recorded it;
            at least that of the process that started the command.
        exit_code: status of the command; negative when a signal ended it.
    """

    seconds: float
    cpu_seconds: float
    peak_tree_bytes: int
    peak_process_bytes: int
    exit_code: int


def measure_command(command: Sequence[str], output_file: Path) -> Cost:
    """Run a command in the repository root and measure it.

    Args:
        command: program and arguments.
        output_file: file for what it prints, errors included.

    Returns:
        Its cost.
    """
    with output_file.open("wb") as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        sampler = _TreeSampler(process.pid)
        sampler.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _kill_tree(process)
            raise
        finally:
            sampler.stop()
        seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # wait4 has taken it from Popen
    return Cost(
        seconds=round(seconds, 2),
        cpu_seconds=round(usage.ru_utime + usage.ru_stime, 2),
        peak_tree_bytes=sampler.peak_bytes,
        peak_process_bytes=usage.ru_maxrss * 1024,
        exit_code=process.returncode,
    )


class _TreeSampler(threading.Thread):
    def __init__(self, process_id: int) -> None:
        super().__init__(daemon=True)
        self._process_id = process_id
        self._stopped = threading.Event()
        self.peak_bytes = 0

    def run(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, resident_bytes_of_tree(self._process_id))
            if self._stopped.wait(SAMPLING_SECONDS):
                return

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def resident_bytes_of_tree(process_id: int) -> int:
    """Sum the resident memory of a process and its descendants now.

    Args:
        process_id: the root.

    Returns:
        Bytes; 0 when the process is gone.
    """
    try:
        root = psutil.Process(process_id)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def _kill_tree(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()
