"""`loupe run`: starts the pipeline in a process of its own and watches it.

The process apart keeps the log noise of TensorFlow, Beam and TFX out of sight, and lets this one
say what happened when that one is killed.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from configs.load import load_config, to_environment
from configs.processes import bound_to_this_process
from configs.workspace import Workspace
from pipeline.cli.live import RunView, show_live
from pipeline.cli.panel import print_outcome
from pipeline.events import read_events
from pipeline.run_folder import EVENTS_FILENAME, LOG_FILENAME, make_run_folder
from pipeline.summary import FAILED, RunSummary, read_summary, time_stages, write_summary

POLL_SECONDS = 0.2
STOP_SECONDS = 20
EXIT_INTERRUPTED = 130
SIGNAL_HINTS = {
    signal.SIGKILL: "Most often that is the kernel's out-of-memory killer: see `dmesg`, and lower "
    "train.batch_size or beam.num_workers",
}


def run_pipeline(
    console: Console, workspace: Workspace, config: str, data: str, overrides: list[str]
) -> int:
    """Run the pipeline and show it.

    Args:
        console: where to show it.
        workspace: everything is written below it.
        config: a named run.
        data: folder, manifest or archive of images, or gs:// address of one of the former; empty
            means the config's own.
        overrides: settings such as `train.epochs=3`.

    Returns:
        Exit code: 0 pushed, 3 not blessed, 130 interrupted, else an error.

    Raises:
        ConfigError: a setting that cannot be used.
    """
    load_config(config, overrides)  # a bad setting is told before anything is made
    folder = make_run_folder(workspace)
    environment = to_environment(config, _absolute(data), overrides, workspace.root, folder)
    started = time.time()
    with (folder / LOG_FILENAME).open("wb") as log:
        process = subprocess.Popen(
            bound_to_this_process([sys.executable, "-m", "pipeline.local_runner"]),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _watch(console, process, folder)
    except KeyboardInterrupt:
        _stop(process)
        summary = _failed_summary(folder, "interrupted", EXIT_INTERRUPTED, started)
    else:
        summary = read_summary(folder) or _summary_of_death(folder, process.returncode, started)
    print_outcome(console, summary, folder)
    return summary.exit_code


def _absolute(data: str) -> str:
    return str(Path(data).resolve()) if data and "://" not in data else data


def _watch(console: Console, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    view = RunView()
    offset = 0
    with show_live(console, view) as refresh:
        while True:
            is_running = process.poll() is None
            for event, position in read_events(folder / EVENTS_FILENAME, offset):
                offset = position
                view.take(event)
            refresh()
            if not is_running:
                return
            time.sleep(POLL_SECONDS)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _summary_of_death(folder: Path, returncode: int, started: float) -> RunSummary:
    if returncode >= 0:
        error = _last_line(folder / LOG_FILENAME) or f"the process ended with status {returncode}"
        return _failed_summary(folder, error, returncode or 1, started)
    name = signal.Signals(-returncode)
    error = f"the process was ended by {name.name}. {SIGNAL_HINTS.get(name, '')}".strip()
    return _failed_summary(folder, error, 128 - returncode, started)


def _failed_summary(folder: Path, error: str, exit_code: int, started: float) -> RunSummary:
    events = [event for event, _ in read_events(folder / EVENTS_FILENAME)]
    summary = RunSummary(
        status=FAILED,
        exit_code=exit_code,
        seconds=round(time.time() - started, 2),
        stages=time_stages(folder / EVENTS_FILENAME),
        failed_stage=events[-1].stage if events else "",
        error=error,
        log_file=str(folder / LOG_FILENAME),
    )
    write_summary(folder, summary)
    return summary


def _last_line(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
