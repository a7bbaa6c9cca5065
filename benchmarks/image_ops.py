"""Images a second through `transform.image_ops`, beside TensorFlow's plain decode and resize.

python -m benchmarks.image_ops FOLDER   (one process; prints one line of JSON)
"""

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Result, ratio
from benchmarks.images_60k import make_images
from benchmarks.processes import measure_command
from benchmarks.runs import BenchmarkSettings, fresh_folder, last_json_line
from configs.errors import StageError

NUM_FILES = 3000
ROUNDS = 5
SIZE = 64
BATCH_SIZE = 64


def image_ops(settings: BenchmarkSettings) -> Result:
    """Compare on small drawn JPEGs, and on the clothing photos where they are.

    Args:
        settings: where the images are kept.

    Returns:
        Images a second of both, and how many times longer ours takes.

    Raises:
        StageError: the measuring process failed.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    small = make_images(settings.folder / f"bench-images-{NUM_FILES}", NUM_FILES)
    folders = {"drawn 32x32": small, "clothing photos": settings.shared_data / "clothing"}
    figures: list[Figure] = []
    details: dict[str, Any] = {}
    for name, folder in folders.items():
        if folder.is_dir():
            speeds = details[name] = _measure_apart(settings, folder)
            slowdown = ratio(speeds["plain"], speeds["ours"])
            figures += [
                Figure(f"{name}: seconds, times the plain ops", slowdown),
                Figure(f"{name}: ours", speeds["ours"], "images/s"),
                Figure(f"{name}: plain", speeds["plain"], "images/s"),
            ]
    return Result("image_ops", figures, details)


def measure_speeds(files: list[str]) -> dict[str, float]:
    """Time both ways over the same files, in turn.

    Args:
        files: paths of images; read once before the clock starts, so that the disk is warm.

    Returns:
        Median images a second of `ours` and `plain`.
    """
    import tensorflow as tf

    from transform.image_ops import image_batch_to_pixels

    def ours(data: tf.data.Dataset) -> tf.data.Dataset:
        return data.batch(BATCH_SIZE).map(
            lambda batch: image_batch_to_pixels(batch, height_pixels=SIZE, width_pixels=SIZE),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def plain(data: tf.data.Dataset) -> tf.data.Dataset:
        return data.map(plain_pixels, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE)

    def plain_pixels(data: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(data, channels=3, expand_animations=False)
        resized = tf.image.resize(image, (SIZE, SIZE), antialias=True)
        return tf.saturate_cast(tf.round(resized), tf.uint8)

    ways = {"ours": ours, "plain": plain}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(ROUNDS + 1):
        for name, way in ways.items():
            seconds = _time_pass(files, way)
            if round_number:  # the first round traces and warms the disk cache
                speeds[name].append(len(files) / seconds)
    return {name: round(statistics.median(values), 1) for name, values in speeds.items()}


def _time_pass(files: list[str], way: Callable[[Any], Any]) -> float:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(files).map(tf.io.read_file)
    started = time.perf_counter()
    for _ in way(dataset).prefetch(tf.data.AUTOTUNE):
        pass
    return time.perf_counter() - started


def _measure_apart(settings: BenchmarkSettings, folder: Path) -> dict[str, Any]:
    with fresh_folder(settings) as work:
        output = work / "output.txt"
        cost = measure_command(
            [sys.executable, "-m", "benchmarks.image_ops", str(folder.resolve())], output
        )
        speeds = last_json_line(output)
        if cost.exit_code or speeds is None:
            raise StageError(
                f"benchmarks.image_ops ended with status {cost.exit_code}, so nothing was "
                f"measured. See '{output}'."
            )
    return speeds


def main() -> None:
    """Measure the images of one folder and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Time decode and resize.")
    parser.add_argument("folder", type=Path)
    files = sorted(str(path) for path in parser.parse_args().folder.rglob("*.jp*g"))
    random.Random(0).shuffle(files)  # noqa: S311
    files = files[:NUM_FILES]
    print(json.dumps({**measure_speeds(files), "files": len(files)}))


if __name__ == "__main__":
    main()
