import json
import os
import subprocess
import sys

import pytest

from benchmarks.processes import measure_command, resident_bytes_of_tree
from configs.load import REPOSITORY_ROOT

MEBIBYTE = 1 << 20
# Holds memory until the sampler, which looks five times a second, must have seen it.
HOLD = """
import sys, time
held = bytearray(int(sys.argv[1]) << 20)
held[::4096] = b"x" * len(held[::4096])
time.sleep(1.5)
"""
TWO_CHILDREN = """
import subprocess, sys
children = [subprocess.Popen([sys.executable, "-c", sys.argv[1], "120"]) for _ in range(2)]
[child.wait() for child in children]
"""
# The kernel counts the parent's memory at the start as the child's, and pytest's own is large.
MEASURE_FROM_A_SMALL_PROCESS = """
import dataclasses, json, sys
from pathlib import Path
from benchmarks.processes import measure_command
cost = measure_command([sys.executable, "-c", *sys.argv[2:]], Path(sys.argv[1]))
print(json.dumps(dataclasses.asdict(cost)))
"""


def measure_apart(output, *arguments):
    command = [sys.executable, "-c", MEASURE_FROM_A_SMALL_PROCESS, str(output), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY_ROOT, capture_output=True, check=True)
    return json.loads(done.stdout)


def test_peak_memory_is_what_the_command_allocated(tmp_path):
    cost = measure_apart(tmp_path / "output", HOLD, "200")
    for key in ("peak_tree_bytes", "peak_process_bytes"):
        assert 200 * MEBIBYTE < cost[key] < 260 * MEBIBYTE


def test_memory_of_children_adds_up_and_the_largest_process_is_one_of_them(tmp_path):
    cost = measure_apart(tmp_path / "output", TWO_CHILDREN, HOLD)
    assert 240 * MEBIBYTE < cost["peak_tree_bytes"] < 340 * MEBIBYTE
    assert 120 * MEBIBYTE < cost["peak_process_bytes"] < 180 * MEBIBYTE


def test_cpu_seconds_count_children(tmp_path):
    spin = "import time\nwhile time.process_time() < 0.5: pass"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    cost = measure_command([sys.executable, "-c", start], tmp_path / "output")
    assert cost.cpu_seconds >= 0.5
    assert cost.seconds > 0


def test_output_and_exit_code_are_kept(tmp_path):
    command = [sys.executable, "-c", "import sys; print('told'); sys.exit(7)"]
    cost = measure_command(command, tmp_path / "output")
    assert cost.exit_code == 7
    assert (tmp_path / "output").read_text() == "told\n"


def test_a_signal_is_a_negative_exit_code(tmp_path):
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert measure_command(command, tmp_path / "output").exit_code == -9


def test_an_interrupted_measurement_ends_the_command(tmp_path, monkeypatch):
    started = []

    def interrupt(process_id, options):
        started.append(process_id)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "wait4", interrupt)
    with pytest.raises(KeyboardInterrupt):
        measure_command([sys.executable, "-c", HOLD, "1"], tmp_path / "output")
    assert resident_bytes_of_tree(started[0]) == 0


def test_a_process_that_is_gone_holds_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert resident_bytes_of_tree(process.pid) == 0
