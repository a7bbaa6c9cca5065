"""Plans the files of the sample data and draws each of them from its own random numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from configs.types import SampleConfig
from data.drawing.camera import Camera, write_file
from data.drawing.defects import spoil_file
from data.drawing.products import NEW_PRODUCT, PRODUCTS
from data.drawing.scenes import draw_scene

_SMALLEST_SIDE: Final = 80
_LARGEST_SIDE: Final = 640
_PICTURE, _PLAN = 0, 1  # streams of random numbers below the seed


@dataclass(frozen=True, slots=True)
class Order:
    """One image to draw.

    Attributes:
        index: number of the image.
        label: what it shows.
        folder: class folder it is filed under, another one when it is mislabelled on purpose.
        is_corrupt: its bytes are spoiled.
        is_doubled: it is written a second time.
    """

    index: int
    label: str
    folder: str
    is_corrupt: bool
    is_doubled: bool


def plan_orders(config: SampleConfig) -> list[Order]:
    """Decide what each image shows and what is wrong with it.

    Args:
        config: how much of what to draw.

    Returns:
        One order per image; classes take turns.
    """
    labels = [*PRODUCTS, *([NEW_PRODUCT[0]] if config.new_class else [])]
    rng = np.random.default_rng([config.seed, _PLAN])
    corrupt, doubled, wrong = (
        set(rng.permutation(config.num_images)[: round(share * config.num_images)].tolist())
        for share in (config.corrupt_share, config.duplicate_share, config.wrong_label_share)
    )
    steps = rng.integers(1, len(labels), config.num_images)
    return [
        Order(
            index,
            labels[index % len(labels)],
            labels[(index + (steps[index] if index in wrong else 0)) % len(labels)],
            index in corrupt,
            index in doubled,
        )
        for index in range(config.num_images)
    ]


def draw_order(folder: Path, config: SampleConfig, order: Order) -> None:
    """Draw one image and write it.

    Args:
        folder: folder that holds the class folders.
        config: seed and switches.
        order: what to draw.
    """
    rng = np.random.default_rng([config.seed, _PICTURE, order.index])
    draw = {**PRODUCTS, NEW_PRODUCT[0]: NEW_PRODUCT[1]}[order.label]
    scene = draw_scene(draw, _choose_size(rng), rng)
    camera = Camera(config.darkness, config.blur, config.new_camera)
    data, ending = write_file(camera.take(scene, rng), rng)
    if order.is_corrupt:
        data = spoil_file(data, rng)
    for suffix in ("", "-copy") if order.is_doubled else ("",):
        (folder / order.folder / f"{order.index:06d}{suffix}{ending}").write_bytes(data)


def _choose_size(rng: np.random.Generator) -> tuple[int, int]:
    # Small pictures are more common than large ones, like thumbnails among uploads.
    share = rng.uniform() ** 1.6
    longest = round(_SMALLEST_SIDE * (_LARGEST_SIDE / _SMALLEST_SIDE) ** share)
    shortest = max(_SMALLEST_SIDE, round(longest * rng.choice([1.0, 1.0, 0.8, 0.75, 0.67])))
    return (longest, shortest) if rng.random() < 0.5 else (shortest, longest)
