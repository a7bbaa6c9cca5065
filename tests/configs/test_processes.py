import signal
import subprocess
import sys

import psutil

from configs.processes import bound_to_this_process

SLEEP = [sys.executable, "-c", "print('here', flush=True); import time; time.sleep(600)"]


def test_a_bound_program_runs_under_the_id_it_was_started_with():
    process = subprocess.Popen(bound_to_this_process(SLEEP), stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"here\n"
    assert psutil.Process(process.pid).cmdline()[1:] == SLEEP[1:]
    process.kill()
    process.communicate()


def test_a_bound_program_ends_when_its_parent_is_killed():
    program = (
        "import subprocess\n"
        "from configs.processes import bound_to_this_process\n"
        f"child = subprocess.Popen(bound_to_this_process({SLEEP!r}), stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert psutil.wait_procs([child], timeout=10)[1] == []


def test_a_program_that_is_not_there_is_named():
    command = bound_to_this_process(["/no/such/program"])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "'/no/such/program' cannot be started: No such file" in done.stderr
