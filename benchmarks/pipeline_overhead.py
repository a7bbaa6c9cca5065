"""What the whole pipeline costs beside a plain Keras script on the same images."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Result, mebibytes, ratio
from benchmarks.images_60k import make_images
from benchmarks.runs import (
    BenchmarkSettings,
    LoupeRun,
    PlainRun,
    fresh_folder,
    level_disk,
    run_loupe,
    run_plain,
)
from components.beam_args import IMAGES_WORTH_PROCESSES
from configs.errors import DataError

MAX_RATIO = 2.0
MAX_PEAK_MEBIBYTES = 3 * 1024
MAX_BYTES_PER_IMAGE = 13_000
MAX_GROWTH = 1.1
"""Peak memory with four times the images, as a multiple; a tenth is left for chance."""
MAX_OVERHEAD_SECONDS = 45
MAX_RERUN_SECONDS = 40
CLOTHING_STEPS = 200
FEWER = 4
RERUN_IMAGES = 2000

Pairs = list[tuple[LoupeRun, PlainRun]]


def pipeline_overhead(settings: BenchmarkSettings) -> Result:
    """Compare one epoch over many small JPEGs, and see whether memory follows their number.

    Args:
        settings: number of images and repeats.

    Returns:
        Ratio of the seconds, peak memory, its growth, bytes per image, and both of both.
    """
    data = _images(settings, settings.num_images)
    few = _images(settings, settings.num_images // FEWER // 100 * 100)
    with fresh_folder(settings) as folder:
        pairs = _alternate(data, folder, settings.repeats)
        rerun = run_loupe(data, folder / "loupe-0")
        few_run = run_loupe(few, folder / "few", _reading_of(settings.num_images))
    peak = max(ours.cost.peak_tree_bytes for ours, _ in pairs)
    figures = [
        Figure("seconds, times the plain script", _median_ratio(pairs), "", MAX_RATIO),
        Figure("peak memory of all processes", mebibytes(peak), "MiB", MAX_PEAK_MEBIBYTES),
        Figure(
            f"peak memory against a {FEWER}th of the images",
            ratio(peak, few_run.cost.peak_tree_bytes),
            "",
            MAX_GROWTH,
        ),
        Figure(
            "transformed bytes per image", pairs[0][0].bytes_per_image, "B", MAX_BYTES_PER_IMAGE
        ),
        Figure("second run, all from cache", rerun.cost.seconds, "s", MAX_RERUN_SECONDS),
        *_shared_figures(pairs),
    ]
    details = {"few_images": asdict(few_run), "rerun": asdict(rerun)}
    return Result("pipeline_overhead", figures, _details(pairs) | details)


def clothing_overhead(settings: BenchmarkSettings) -> Result:
    """Compare 200 steps on real photos.

    Args:
        settings: where the photos are, and repeats.

    Returns:
        Seconds more than the plain script, and both of both.

    Raises:
        DataError: the photos are not there.
    """
    photos = settings.shared_data / "clothing"
    if not photos.is_dir():
        raise DataError(
            f"clothing_overhead: '{photos}' does not exist, expected the clothing photos in train "
            "and validation folders. Name their parent folder with --shared-data."
        )
    with fresh_folder(settings) as folder:
        data = folder / "clothing-3409"
        data.mkdir()
        for split in ("train", "validation"):
            (data / split).symlink_to((photos / split).resolve(), target_is_directory=True)
        limits = (f"train.max_steps={CLOTHING_STEPS}", "train.epochs=1000")
        options = ("--max-steps", str(CLOTHING_STEPS), "--epochs", "1000")
        pairs = _alternate(data, folder, settings.repeats, limits, options)
    overhead = statistics.median(ours.cost.seconds - plain.cost.seconds for ours, plain in pairs)
    figures = [
        Figure("seconds more than the plain script", overhead, "s", MAX_OVERHEAD_SECONDS),
        Figure("seconds, times the plain script", _median_ratio(pairs)),
        *_shared_figures(pairs),
    ]
    return Result("clothing_overhead", figures, _details(pairs))


def _reading_of(num_images: int) -> list[str]:
    # Many images are read by processes, each with TensorFlow of its own: a step in memory that is
    # no growth. Fewer images are read the same way, so that growth is all that is compared.
    return ["beam.running_mode=multi_processing"] if num_images >= IMAGES_WORTH_PROCESSES else []


def cached_rerun(settings: BenchmarkSettings) -> Result:
    """Run twice on unchanged data.

    Args:
        settings: where the images are kept.

    Returns:
        Seconds of the second run.
    """
    data = _images(settings, min(RERUN_IMAGES, settings.num_images))
    with fresh_folder(settings) as folder:
        first = run_loupe(data, folder / "loupe")
        second = run_loupe(data, folder / "loupe")
    redone = [stage.name for stage in second.summary.stages if not stage.cached]
    figures = [
        Figure("second run", second.cost.seconds, "s", MAX_RERUN_SECONDS),
        Figure("first run", first.cost.seconds, "s"),
        Figure("stages of the second run not from cache", len(redone)),
    ]
    details = {"first": asdict(first), "second": asdict(second), "redone": redone}
    return Result("cached_rerun", figures, details)


def _images(settings: BenchmarkSettings, count: int) -> Path:
    settings.folder.mkdir(parents=True, exist_ok=True)
    return make_images(settings.folder / f"bench-images-{count}", count)


def _alternate(
    data: Path,
    folder: Path,
    repeats: int,
    overrides: Sequence[str] = (),
    options: Sequence[str] = (),
) -> Pairs:
    pairs: Pairs = []
    for number in range(repeats):
        level_disk(data)
        ours = run_loupe(data, folder / f"loupe-{number}", overrides)
        level_disk(data)
        pairs.append((ours, run_plain(data, folder / f"plain-{number}", options)))
    return pairs


def _median_ratio(pairs: Pairs) -> float:
    return statistics.median(ratio(ours.cost.seconds, plain.cost.seconds) for ours, plain in pairs)


def _shared_figures(pairs: Pairs) -> list[Figure]:
    figures: list[Figure] = []
    for name, runs in zip(("ours", "plain"), zip(*pairs, strict=True), strict=True):
        costs = [run.cost for run in runs]
        figures += [
            Figure(f"{name}: seconds", statistics.median(cost.seconds for cost in costs), "s"),
            Figure(f"{name}: CPU", statistics.median(cost.cpu_seconds for cost in costs), "s"),
            Figure(
                f"{name}: largest process",
                mebibytes(max(cost.peak_process_bytes for cost in costs)),
                "MiB",
            ),
        ]
    ours, plain = pairs[0]
    return [
        *figures,
        Figure("ours: accuracy", ours.summary.metrics.get("accuracy") or 0.0),
        Figure("plain: accuracy", plain.report["accuracy"]),
        *(Figure(f"ours: {stage.name}", stage.seconds, "s") for stage in ours.summary.stages),
    ]


def _details(pairs: Pairs) -> dict[str, Any]:
    return {"ours": [asdict(ours) for ours, _ in pairs], "plain": [asdict(p) for _, p in pairs]}
