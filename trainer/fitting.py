"""One training run, from datasets to a float32 classifier: what Trainer and each trial share."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from configs.types import TrainConfig
from trainer.callbacks import make_callbacks
from trainer.distribution import choose_xla, training_scope
from trainer.input_fn import Split, make_evaluation_dataset, make_training_dataset
from trainer.model import build_classifier, compile_classifier

logger = logging.getLogger("loupe.trainer")


@dataclass(frozen=True)
class FittedClassifier:
    """A trained network and how it got there.

    Attributes:
        model: float32 copy of the network with its best weights, under no strategy.
        history: metric name to its value after each epoch.
    """

    model: keras.Model
    history: dict[str, list[float]]


def fit_classifier(
    config: TrainConfig, train: Split, validation: Split, *, run_folder: Path
) -> FittedClassifier:
    """Train a classifier and keep its best weights.

    Args:
        config: the training loop and its model.
        train: split to learn from.
        validation: split that decides when to stop and which weights are best.
        run_folder: where TensorBoard logs and `history.json` go.

    Returns:
        The classifier; on CPU the same for the same data and seed.

    Raises:
        StageError: the loss became infinite or no number.
        ConfigError: the image is too small for the backbone, or the batch does not divide over
            the devices.
    """
    steps_per_epoch = math.ceil(train.num_examples / config.batch_size)
    total_steps = config.epochs * steps_per_epoch
    if config.max_steps:
        total_steps = min(total_steps, config.max_steps)
        steps_per_epoch = min(steps_per_epoch, total_steps)
    logger.info(
        "training %s on %d images, %d steps", config.backbone, train.num_examples, total_steps
    )
    with training_scope(config) as strategy:
        with strategy.scope():
            model: Any = _build(config, train)
            compile_classifier(model, config, total_steps=total_steps, use_xla=choose_xla(config))
        history = model.fit(
            make_training_dataset(train, config),
            validation_data=make_evaluation_dataset(validation, config),
            epochs=math.ceil(total_steps / steps_per_epoch),
            steps_per_epoch=steps_per_epoch,
            callbacks=make_callbacks(
                config,
                run_folder=run_folder,
                total_steps=total_steps,
                steps_per_epoch=steps_per_epoch,
            ),
            verbose=0,
        ).history
        weights = model.get_weights()
    # A copy without strategy and in float32: mixed precision pays on the GPU that trains, while
    # a server's CPU computes float16 far more slowly.
    served = _build(config, train)
    served.set_weights(weights)
    return FittedClassifier(served, history)


def _build(config: TrainConfig, split: Split) -> keras.Model:
    return build_classifier(
        config,
        num_classes=len(split.class_counts),
        height_pixels=split.image.height_pixels,
        width_pixels=split.image.width_pixels,
    )
