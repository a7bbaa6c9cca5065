"""Draws the built-in sample data: a folder per product, the same bytes for the same settings."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from configs.errors import DataError
from configs.types import SampleConfig
from data.drawing.orders import Order, draw_order, plan_orders
from data.drawing.workers import draw_in_processes

DRAWING_VERSION: Final = 1
"""Grows whenever the same settings draw other bytes, so that old folders are drawn again."""

RECORD_FILENAME: Final = "sample.json"
_REPORT_EVERY: Final = 20
_WORTH_PROCESSES: Final = 200

Progress = Callable[[int, int], None]


def draw_sample_data(
    folder: Path, config: SampleConfig, *, progress: Progress | None = None
) -> Path:
    """Draw the sample data, unless it is there already.

    Everything is drawn beside the folder and renamed when complete, so that a killed drawing leaves
    nothing that looks complete. The bytes depend on the settings only, not on the number of cores.

    Args:
        folder: where the class folders go; replaced when it holds sample data of other settings.
        config: how much of what to draw.
        progress: told how many of how many images are drawn.

    Returns:
        `folder`, absolute.

    Raises:
        DataError: the folder holds something that is not sample data, or drawing failed.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 - a link of the user stays a link
    record = json.dumps({"version": DRAWING_VERSION, **dataclasses.asdict(config)}, sort_keys=True)
    if _read_record(folder) == record:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    partial.mkdir()
    try:
        _draw_all(partial, config, progress)
        (partial / RECORD_FILENAME).write_text(record, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _read_record(folder: Path) -> str:
    try:
        return (folder / RECORD_FILENAME).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(
                f"'{folder}' holds something that is no sample data ({RECORD_FILENAME} is "
                "missing), expected a folder to draw into. Give another one, or remove it."
            ) from error
        return ""


def _remove_leftovers(folder: Path) -> None:
    for leftover in folder.parent.glob(f".{folder.name}.partial-*"):
        process_id = leftover.name.rpartition("-")[2]
        if not Path(f"/proc/{process_id}").exists() or process_id == str(os.getpid()):
            shutil.rmtree(leftover, ignore_errors=True)


def _draw_all(folder: Path, config: SampleConfig, progress: Progress | None) -> None:
    orders = plan_orders(config)
    for name in {order.folder for order in orders}:
        (folder / name).mkdir()
    cores = len(os.sched_getaffinity(0))
    if cores == 1 or len(orders) < _WORTH_PROCESSES:
        counts = _draw_here(folder, config, orders)
    else:
        counts = draw_in_processes(folder, config, cores)
    done = reported = 0
    for count in counts:
        done += count
        if progress and (done - reported >= _REPORT_EVERY or done == len(orders)):
            progress(done, len(orders))
            reported = done


def _draw_here(folder: Path, config: SampleConfig, orders: list[Order]) -> Iterator[int]:
    for order in orders:
        draw_order(folder, config, order)
        yield 1
