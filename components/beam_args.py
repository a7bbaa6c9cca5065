"""Beam flags from settings: one place decides runner, mode and workers."""

import os
from typing import Any

from configs.types import BeamConfig

IMAGES_WORTH_PROCESSES = 40_000
"""Below this, starting worker processes (each imports TensorFlow again) costs more than it gains:
60,000 small images take 33 s in one process and 25 s in two on 2 cores, 9 of them their start."""

_PER_WORKER_IMPORTS = "--beam_plugins=components.example_gen.reader"
"""What workers import before their threads start: two threads that import the same package at once
may each see half of it."""
_NO_PACKAGING = "--sdk_container_image=unused"
"""Workers on this machine see these very files and ignore the image. Without such a flag TFX packs
all of itself for remote workers at each stage: a second, and 20 MB that stay in /tmp."""


def beam_args(config: BeamConfig) -> list[Any]:
    """Choose Beam's flags for every stage.

    Args:
        config: the beam settings.

    Returns:
        Flags for `beam_pipeline_args`; text, though TFX's type would allow placeholders.
    """
    if config.runner != "DirectRunner":
        return [f"--runner={config.runner}", *config.extra_args]
    # TensorFlow's and TFDV's own threads use the cores; processes would only import them again.
    return [
        f"--runner={config.runner}",
        *_direct_mode("in_memory", 1),
        _NO_PACKAGING,
        *config.extra_args,
    ]


def reading_args(config: BeamConfig, *, num_images: int) -> list[Any]:
    """Choose Beam's flags for the stage that reads images, which is Python's work for each one.

    Args:
        config: the beam settings.
        num_images: images in the data set, which decides what `auto` means.

    Returns:
        Flags that come after those of `beam_args` and win over them.
    """
    if config.runner != "DirectRunner":
        return []
    mode = config.running_mode
    if mode == "auto":
        mode = "in_memory" if num_images < IMAGES_WORTH_PROCESSES else "multi_processing"
    if mode == "in_memory":
        return _direct_mode(mode, 1)
    workers = config.num_workers or os.cpu_count() or 1
    return [*_direct_mode(mode, workers), _PER_WORKER_IMPORTS]


def _direct_mode(mode: str, workers: int) -> list[Any]:
    return [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]
