"""The limit of a server: the same SavedModel called in process, alone and with full batches.

python -m benchmarks.serving_inprocess MODEL --images FOLDER   (prints one line of JSON)
"""

import argparse
import itertools
import json
import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

BATCH_SIZES: Final = (16, 32, 64)
WARM_CALLS: Final = 20

Call = Callable[[list[bytes]], object]


def measure_single(call: Call, images: list[bytes], seconds: float) -> float:
    """Call with one image at a time.

    Args:
        call: runs the model on encoded images.
        images: encoded images, taken in turn.
        seconds: how long to measure.

    Returns:
        Median milliseconds of a call.
    """
    source = itertools.cycle(images)
    for _ in range(WARM_CALLS):
        call([next(source)])
    milliseconds: list[float] = []
    ends = time.perf_counter() + seconds
    while (started := time.perf_counter()) < ends:
        call([next(source)])
        milliseconds.append((time.perf_counter() - started) * 1e3)
    return statistics.median(milliseconds)


def measure_batches(
    call: Call, images: list[bytes], batch_size: int, num_threads: int, seconds: float
) -> float:
    """Call with full batches from several threads.

    Args:
        call: runs the model on encoded images.
        images: encoded images, taken in turn.
        batch_size: images of a call.
        num_threads: calls at once.
        seconds: how long to measure.

    Returns:
        Images a second.
    """
    batch = list(itertools.islice(itertools.cycle(images), batch_size))
    call(batch)
    counts = [0] * num_threads
    started = time.perf_counter()

    def work(number: int) -> None:
        while time.perf_counter() - started < seconds:
            call(batch)
            counts[number] += batch_size

    threads = [threading.Thread(target=work, args=(number,)) for number in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def main() -> None:
    """Measure one SavedModel and print one line of JSON."""
    import tensorflow as tf

    parser = argparse.ArgumentParser(description="Time a SavedModel in process.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of each measurement")
    options = parser.parse_args()
    images = [path.read_bytes() for path in sorted(options.images.iterdir())]
    model: Any = tf.saved_model.load(str(options.model))
    signature = model.signatures["serving_default"]

    def call(data: list[bytes]) -> object:
        return signature(image_bytes=tf.constant(data))

    num_cores = len(os.sched_getaffinity(0))
    speeds = {
        f"{size} images, {threads} threads": measure_batches(
            call, images, size, threads, options.seconds
        )
        for size in BATCH_SIZES
        for threads in sorted({1, num_cores})
    }
    report = {
        "single_p50_ms": measure_single(call, images, options.seconds),
        "images_per_second": max(speeds.values()),
        "by_batch": speeds,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
