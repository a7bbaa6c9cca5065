"""Beam flags from settings: one place decides runner, mode and workers."""

import os
from typing import Any

from configs.types import BeamConfig

IMAGES_WORTH_PROCESSES = 200_000
"""Below this, starting worker processes (each imports TensorFlow again) costs more than it gains:
3.4 k photos took 53 s in_memory and 117 s with two processes, on 2 cores."""


def beam_args(config: BeamConfig, *, num_images: int) -> list[Any]:
    """Choose Beam's flags.

    Args:
        config: the beam settings.
        num_images: images in the data set, which decides what `auto` means.

    Returns:
        Flags for `beam_pipeline_args`; text, though TFX's type would allow placeholders.
    """
    if config.runner != "DirectRunner":
        return [f"--runner={config.runner}", *config.extra_args]
    mode = config.running_mode
    if mode == "auto":
        mode = "in_memory" if num_images < IMAGES_WORTH_PROCESSES else "multi_processing"
    workers = 1 if mode == "in_memory" else config.num_workers or os.cpu_count() or 1
    return [
        f"--runner={config.runner}",
        f"--direct_running_mode={mode}",
        f"--direct_num_workers={workers}",
        *config.extra_args,
    ]
