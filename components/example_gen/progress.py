"""How far reading is, told across processes by a file that grows by a byte for every image."""

import contextlib
import logging
import threading
from collections.abc import Generator
from pathlib import Path

from data.places import Place

SECONDS_BETWEEN_REPORTS = 0.5

logger = logging.getLogger("loupe.example_gen")


def add_done(path: Path, count: int) -> None:
    """Note that some images were read.

    Args:
        path: file of the progress; made when missing. Several processes may add to it.
        count: how many more.
    """
    with path.open("ab") as file:
        file.write(b"." * count)


@contextlib.contextmanager
def report_progress(path: Path | None, listing: Place) -> Generator[None]:
    """Log how far reading is while a block runs.

    Args:
        path: file that `add_done` adds to, removed at the end; None where there is none.
        listing: file with a line for each image, there before the first of them is read.
    """
    if path is None:
        yield
        return
    is_over = threading.Event()
    thread = threading.Thread(target=_report, args=(path, listing, is_over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        path.unlink(missing_ok=True)


def _report(path: Path, listing: Place, is_over: threading.Event) -> None:
    total = reported = 0
    while not is_over.wait(SECONDS_BETWEEN_REPORTS):
        done = path.stat().st_size if path.exists() else 0
        if done > reported:
            reported = done
            total = total or listing.read_bytes().count(b"\n")
            done = min(done, total)  # a runner may read a batch twice
            progress = {"done": done, "total": total, "unit": "images"}
            logger.info("read %d of %d files", done, total, extra={"progress": progress})
