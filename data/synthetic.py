"""Draws the built-in sample data: a folder per product, the same bytes for the same settings."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from configs.errors import DataError
from configs.types import SampleConfig
from data.drawing.camera import Camera, write_file
from data.drawing.defects import spoil_file
from data.drawing.products import NEW_PRODUCT, PRODUCTS
from data.drawing.scenes import draw_scene

DRAWING_VERSION: Final = 1
"""Grows whenever the same settings draw other bytes, so that old folders are drawn again."""

RECORD_FILENAME: Final = "sample.json"
_SMALLEST_SIDE: Final = 80
_LARGEST_SIDE: Final = 640
_CHUNK: Final = 20
_WORTH_A_POOL: Final = 200
_PICTURE, _PLAN = 0, 1  # streams of random numbers below the seed

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Order:
    index: int
    label: str
    folder: str
    is_corrupt: bool
    is_doubled: bool


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
        `folder`.

    Raises:
        DataError: the folder holds something that is not sample data.
    """
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
    orders = _plan(config)
    for name in {order.folder for order in orders}:
        (folder / name).mkdir()
    chunks = [orders[start : start + _CHUNK] for start in range(0, len(orders), _CHUNK)]
    done = 0
    with _workers(len(orders)) as run:
        for count in run(_draw_chunk, ((folder, config, chunk) for chunk in chunks)):
            done += count
            if progress:
                progress(done, len(orders))


def _plan(config: SampleConfig) -> list[_Order]:
    labels = [*PRODUCTS, *([NEW_PRODUCT[0]] if config.new_class else [])]
    rng = np.random.default_rng([config.seed, _PLAN])
    corrupt, doubled, wrong = (
        set(rng.permutation(config.num_images)[: round(share * config.num_images)].tolist())
        for share in (config.corrupt_share, config.duplicate_share, config.wrong_label_share)
    )
    steps = rng.integers(1, len(labels), config.num_images)
    return [
        _Order(
            index,
            labels[index % len(labels)],
            labels[(index + (steps[index] if index in wrong else 0)) % len(labels)],
            index in corrupt,
            index in doubled,
        )
        for index in range(config.num_images)
    ]


def _draw_chunk(task: tuple[Path, SampleConfig, list[_Order]]) -> int:
    folder, config, orders = task
    for order in orders:
        data, ending = _draw_file(config, order)
        target = folder / order.folder / f"{order.index:06d}{ending}"
        target.write_bytes(data)
        if order.is_doubled:
            target.with_name(f"{order.index:06d}-copy{ending}").write_bytes(data)
    return len(orders)


def _draw_file(config: SampleConfig, order: _Order) -> tuple[bytes, str]:
    rng = np.random.default_rng([config.seed, _PICTURE, order.index])
    draw = {**PRODUCTS, NEW_PRODUCT[0]: NEW_PRODUCT[1]}[order.label]
    scene = draw_scene(draw, _choose_size(rng), rng)
    camera = Camera(config.darkness, config.blur, config.new_camera)
    data, ending = write_file(camera.take(scene, rng), rng)
    return (spoil_file(data, rng) if order.is_corrupt else data), ending


def _choose_size(rng: np.random.Generator) -> tuple[int, int]:
    # Small pictures are more common than large ones, like thumbnails among uploads.
    share = rng.uniform() ** 1.6
    longest = round(_SMALLEST_SIDE * (_LARGEST_SIDE / _SMALLEST_SIDE) ** share)
    shortest = max(_SMALLEST_SIDE, round(longest * rng.choice([1.0, 1.0, 0.8, 0.75, 0.67])))
    return (longest, shortest) if rng.random() < 0.5 else (shortest, longest)


@contextmanager
def _workers(num_images: int) -> Generator[Callable[..., Iterator[int]]]:
    cores = len(os.sched_getaffinity(0))
    if cores == 1 or num_images < _WORTH_A_POOL:
        yield map
        return
    # Fresh processes: a fork of a process with threads (TensorFlow, Beam) may hang.
    context: Any = multiprocessing.get_context("spawn")
    pool: Executor = ProcessPoolExecutor(cores, context, initializer=_end_with_parent)
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    # A worker whose parent was killed would wait for work for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
