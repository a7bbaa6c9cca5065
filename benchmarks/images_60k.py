"""Many small JPEGs: ten classes of shapes at 32x32, drawn whole chunks at a time.

python -m benchmarks.images_60k FOLDER [--images 60000]
"""

import argparse
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from configs.errors import DataError

SIDE_PIXELS: Final = 32
NUM_IMAGES: Final = 60_000
RECORD_FILENAME: Final = "images.json"
DRAWING_VERSION: Final = 1
"""Grows whenever the same count draws other bytes."""

_CHUNK: Final = 500
_JPEG_QUALITY: Final = 75
_SPLIT_SHARES: Final = (("train", 0.8), ("validation", 0.1), ("test", 0.1))

Array = NDArray[np.floating[Any]]
# Signed distance of (x, y) to the border of a shape about one unit large: below 0 is inside.
_SHAPES: Final[dict[str, Callable[[Array, Array], Array]]] = {
    "bar": lambda x, y: np.maximum(abs(x) - 1.1, abs(y) - 0.25),
    "cross": lambda x, y: np.minimum(
        np.maximum(abs(x) - 1, abs(y) - 0.3), np.maximum(abs(y) - 1, abs(x) - 0.3)
    ),
    "crescent": lambda x, y: np.maximum(np.hypot(x, y) - 1, 0.8 - np.hypot(x - 0.5, y)),
    "diamond": lambda x, y: abs(x) + 0.55 * abs(y) - 0.75,
    "disc": lambda x, y: np.hypot(x, y) - 0.85,
    "flower": lambda x, y: np.hypot(x, y) - 0.75 - 0.3 * np.cos(5 * np.arctan2(y, x)),
    "frame": lambda x, y: abs(np.maximum(abs(x), abs(y)) - 0.75) - 0.18,
    "ring": lambda x, y: abs(np.hypot(x, y) - 0.8) - 0.2,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) - 0.8,
    "triangle": lambda x, y: np.maximum(0.87 * abs(x) + 0.5 * y, -y) - 0.5,
}
CLASSES: Final = tuple(_SHAPES)


def make_images(folder: Path, num_images: int = NUM_IMAGES) -> Path:
    """Draw the images, unless they are all there already.

    Args:
        folder: gets train, validation and test folders (80, 10 and 10 %) of class folders.
        num_images: images over all classes, a multiple of 100.

    Returns:
        `folder`. It is complete or not there: drawing happens beside it.

    Raises:
        DataError: `num_images` is no multiple of 100, or `folder` holds something else.
    """
    if num_images < 100 or num_images % 100:
        raise DataError(
            f"cannot draw {num_images} images, expected a multiple of 100: 10 classes, each split "
            "80/10/10. Change --images."
        )
    record = {"version": DRAWING_VERSION, "images": num_images}
    if folder.exists():
        if (found := _read_record(folder)) == record:
            return folder
        if found is None:
            raise DataError(
                f"'{folder}' exists without {RECORD_FILENAME}, expected nothing or images drawn "
                "earlier. Remove it, or name another folder."
            )
        shutil.rmtree(folder)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        _draw_all(partial, num_images)
        (partial / RECORD_FILENAME).write_text(json.dumps(record), encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def draw_shapes(label: str, seeds: tuple[int, ...], count: int) -> NDArray[np.uint8]:
    """Draw some images of one class.

    Args:
        label: one of `CLASSES`.
        seeds: the same seeds draw the same pixels.
        count: how many.

    Returns:
        uint8 (count, 32, 32, 3): the shape in any place, pose, size and colour before a plain
        background of another colour, with a little noise.
    """
    random = np.random.default_rng(seeds)

    def between(low: float, high: float) -> Array:
        return random.uniform(low, high, (count, 1, 1)).astype(np.float32)

    axis = np.linspace(-1, 1, SIDE_PIXELS, dtype=np.float32)
    x, y = axis[None, None, :] - between(-0.25, 0.25), axis[None, :, None] - between(-0.25, 0.25)
    angle, size = between(0, 2 * np.pi), between(0.4, 0.65)
    turned_x = (x * np.cos(angle) + y * np.sin(angle)) / size
    turned_y = (y * np.cos(angle) - x * np.sin(angle)) / size
    inside = np.clip(0.5 - _SHAPES[label](turned_x, turned_y) * size * SIDE_PIXELS / 2, 0, 1)
    back = random.uniform(0, 255, (count, 1, 1, 3)).astype(np.float32)
    # At least 64 levels away, so that every shape can be seen.
    front = (back + random.uniform(64, 192, back.shape).astype(np.float32)) % 256
    pixels = back + (front - back) * inside[..., None]
    pixels += random.normal(0, 3, pixels.shape).astype(np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _draw_all(folder: Path, num_images: int) -> None:
    for class_number, label in enumerate(CLASSES):
        for split_number, (split, share) in enumerate(_SPLIT_SHARES):
            target = folder / split / label
            target.mkdir(parents=True)
            count = round(num_images * share) // len(CLASSES)
            for start in range(0, count, _CHUNK):
                seeds = (DRAWING_VERSION, class_number, split_number, start)
                images = draw_shapes(label, seeds, min(_CHUNK, count - start))
                _write(target, start, images)


def _write(folder: Path, start: int, images: NDArray[np.uint8]) -> None:
    for number, pixels in enumerate(images, start):
        image = Image.fromarray(pixels)
        image.save(folder / f"{number:05d}.jpg", quality=_JPEG_QUALITY, optimize=True)


def _read_record(folder: Path) -> dict[str, Any] | None:
    path = folder / RECORD_FILENAME
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def main() -> None:
    """Draw into the folder of the command line."""
    parser = argparse.ArgumentParser(description="Draw many small JPEGs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    options = parser.parse_args()
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    print(make_images(options.folder, options.images))


if __name__ == "__main__":
    main()
