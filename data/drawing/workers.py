"""Draws in several processes: `python -m data.drawing.workers`, one per core.

Plain processes, not multiprocessing: that would import the caller's main module again in each of
them, which under the `tfx` command takes longer than the drawing.
"""

import dataclasses
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from configs.errors import DataError
from configs.load import REPOSITORY_ROOT, from_json
from configs.types import SampleConfig
from data.drawing.orders import draw_order, plan_orders

_DRAWN: Final = b"."
_READ_BYTES: Final = 4096


def draw_in_processes(folder: Path, config: SampleConfig, num_workers: int) -> Iterator[int]:
    """Draw all images of a config.

    Args:
        folder: absolute path of the folder that holds the class folders.
        config: how much of what to draw.
        num_workers: processes to start, at least 1.

    Yields:
        How many images were drawn since the last time, as it happens.

    Raises:
        DataError: a process failed; the message holds its last words.
    """
    settings = json.dumps(dataclasses.asdict(config))
    command = [sys.executable, "-m", __spec__.name, str(folder), settings, str(num_workers)]
    with tempfile.TemporaryFile() as complaints:
        workers = [
            subprocess.Popen(
                [*command, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=REPOSITORY_ROOT,
            )
            for number in range(num_workers)
        ]
        try:
            yield from _count(workers)
            if any([worker.wait() for worker in workers]):
                complaints.seek(0)
                last_words = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise DataError(
                    f"drawing the sample data into '{folder.parent}' failed: {last_words}. Mend "
                    "that and run again."
                )
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()


def main(arguments: Sequence[str]) -> None:
    """Draw every n-th image; a byte on standard output for each.

    Args:
        arguments: folder, settings as JSON, number of workers, and this worker's number.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder, settings, num_workers, number = arguments
    config = from_json(SampleConfig, settings)
    for order in plan_orders(config)[int(number) :: int(num_workers)]:
        draw_order(Path(folder), config, order)
        os.write(sys.stdout.fileno(), _DRAWN)


def _count(workers: Sequence[subprocess.Popen[bytes]]) -> Iterator[int]:
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            if worker.stdout:
                selector.register(worker.stdout, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                drawn = os.read(key.fd, _READ_BYTES)
                if drawn:
                    yield len(drawn)
                else:
                    selector.unregister(key.fileobj)


def _end_with_parent() -> None:
    # Standard input is a pipe that the parent never writes to: it ends when the parent does.
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
