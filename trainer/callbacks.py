"""What happens around the training steps: progress, limits, history."""

import json
import logging
import math
import time
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np

from configs.errors import StageError
from configs.types import TrainConfig
from trainer.model import ACCURACY

HISTORY_FILENAME: Final = "history.json"
VALIDATION_LOSS: Final = "val_loss"

_SECONDS_BETWEEN_REPORTS: Final = 1.0

logger = logging.getLogger("loupe.trainer")


class StepLimit(keras.callbacks.Callback):
    """End training after a number of optimiser steps.

    Attributes:
        max_steps: steps over all epochs, above 0.
    """

    def __init__(self, max_steps: int) -> None:
        super().__init__()
        self.max_steps = max_steps
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step, and stop after the last.

        Args:
            batch: number of the step in its epoch.
            logs: metrics so far.
        """
        del batch, logs
        self._steps += 1
        if self._steps >= self.max_steps:
            model: Any = self.model
            model.stop_training = True


class ProgressReport(keras.callbacks.Callback):
    """Log where training is, at most once a second, and stop it when the loss is no number.

    Attributes:
        total_steps: steps over all epochs.
        steps_per_epoch: steps of one epoch.
    """

    def __init__(self, total_steps: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self._steps = 0
        self._reported_at = -math.inf

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Report when it is time to.

        Args:
            batch: number of the step in its epoch.
            logs: metrics so far.

        Raises:
            StageError: the loss is not finite.
        """
        del batch
        self._steps += 1
        now = time.monotonic()
        if now - self._reported_at >= _SECONDS_BETWEEN_REPORTS:
            self._reported_at = now
            self._report(logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report the epoch's metrics.

        Args:
            epoch: number of the epoch, from 0.
            logs: metrics of the epoch, validation included.

        Raises:
            StageError: a loss is not finite.
        """
        del epoch
        self._report(logs or {})

    def _report(self, logs: dict[str, Any]) -> None:
        # The mean over an epoch stays NaN once any step was, so looking now and then is enough.
        for name in ("loss", VALIDATION_LOSS):
            if name in logs and not math.isfinite(logs[name]):
                raise StageError(
                    f"trainer: {name} is {logs[name]} after step {self._steps}, expected a finite "
                    "number. Lower train.learning_rate, or set train.precision=float32."
                )
        epoch = math.ceil(self._steps / self.steps_per_epoch)
        measured = {name: round(float(value), 4) for name, value in logs.items()}
        logger.info(
            "step %d of %d, epoch %d, accuracy %.3f",
            self._steps,
            self.total_steps,
            epoch,
            logs.get(f"val_{ACCURACY}", logs.get(ACCURACY, math.nan)),
            extra={
                "progress": {
                    "done": self._steps,
                    "total": self.total_steps,
                    "unit": "steps",
                    "epoch": epoch,
                    **measured,
                }
            },
        )


class HistoryFile(keras.callbacks.Callback):
    """Write the metrics of every epoch to `history.json`.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._epochs: list[dict[str, float]] = []
        self._started_at = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the epoch, and write the file.

        Args:
            epoch: number of the epoch, from 0.
            logs: metrics of the epoch, validation included.
        """
        metrics = {name: float(np.asarray(value)) for name, value in (logs or {}).items()}
        seconds = round(time.monotonic() - self._started_at, 3)
        self._epochs.append({"epoch": epoch, "seconds": seconds, **metrics})
        self.path.write_text(json.dumps({"epochs": self._epochs}, indent=1) + "\n", "utf-8")


def make_callbacks(
    config: TrainConfig, *, run_folder: Path, total_steps: int, steps_per_epoch: int
) -> list[keras.callbacks.Callback]:
    """Make the callbacks of a training run.

    Args:
        config: patience and the step limit.
        run_folder: where TensorBoard logs and `history.json` go; made when missing.
        total_steps: steps over all epochs.
        steps_per_epoch: steps of one epoch.

    Returns:
        Callbacks that report, record, stop early and put the best weights back.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    return [
        # First, so that a loss that is no number ends the run before it is recorded.
        ProgressReport(total_steps, steps_per_epoch),
        StepLimit(total_steps),
        HistoryFile(run_folder / HISTORY_FILENAME),
        keras.callbacks.TensorBoard(str(run_folder), write_graph=False, profile_batch=0),
        keras.callbacks.EarlyStopping(
            VALIDATION_LOSS, patience=config.patience_epochs, restore_best_weights=True
        ),
    ]
