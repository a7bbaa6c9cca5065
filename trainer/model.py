"""The classifier: pixels in, one logit per class out."""

from typing import Any, Final

import keras

from configs.types import TrainConfig
from trainer.backbones import extract_features
from transform.decoders import CHANNELS
from transform.image_ops import scale_pixels

ACCURACY: Final = "accuracy"

_WARMUP_SHARE: Final = 0.05
_WARMUP_FACTOR: Final = 0.1
_WEIGHT_DECAY: Final = 1e-3
_ADAM_EPSILON: Final = 1e-6


class ScalePixels(keras.layers.Layer):
    """Scale pixels as `transform.image_ops.scale_pixels` does, inside the model."""

    def call(self, inputs: Any) -> Any:
        """Scale a batch.

        Args:
            inputs: float32 (batch, height, width, 3), 0..255.

        Returns:
            float32, same shape, -1..1.
        """
        return scale_pixels(inputs)


class PairLogits(keras.layers.Layer):
    """Put a constant 0 before the one logit of a two-class model.

    The softmax of (0, z) is (1 - sigmoid(z), sigmoid(z)): one sigmoid unit then looks like any
    other classifier to the loss, the metrics and the signatures.
    """

    def call(self, inputs: Any) -> Any:
        """Extend a batch.

        Args:
            inputs: float32 (batch, 1).

        Returns:
            float32 (batch, 2).
        """
        return keras.ops.concatenate([keras.ops.zeros_like(inputs), inputs], axis=-1)


def build_classifier(
    config: TrainConfig, *, num_classes: int, height_pixels: int, width_pixels: int
) -> keras.Model:
    """Build the network under the dtype policy that is in force.

    Args:
        config: the backbone and its width and dropout.
        num_classes: classes, at least 2; two classes share one sigmoid unit.
        height_pixels: height of the input.
        width_pixels: width of the input.

    Returns:
        A model of float32 (batch, height, width, 3), 0..255, to float32 logits (batch, classes).
    """
    pixels = keras.Input((height_pixels, width_pixels, CHANNELS), dtype="float32")
    features = extract_features(ScalePixels(dtype="float32")(pixels), config)
    units = 1 if num_classes == 2 else num_classes
    logits = keras.layers.Dense(units, dtype="float32", name="logits")(features)
    if num_classes == 2:
        logits = PairLogits(dtype="float32")(logits)
    return keras.Model(pixels, logits, name=config.backbone)


def compile_classifier(model: Any, config: TrainConfig, *, total_steps: int, use_xla: bool) -> None:
    """Give a classifier its optimiser, loss and metrics.

    Args:
        model: from `build_classifier`.
        config: the learning rate and label smoothing.
        total_steps: optimiser steps that the schedule is spread over, above 0.
        use_xla: compile the training step with XLA.

    Source: decoupled weight decay, arXiv:1711.05101; cosine schedule, arXiv:1608.03983.
    """
    warmup_steps = max(1, int(total_steps * _WARMUP_SHARE))
    schedule: Any = keras.optimizers.schedules.CosineDecay(
        config.learning_rate * _WARMUP_FACTOR,
        decay_steps=max(1, total_steps - warmup_steps),
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(
            schedule, weight_decay=_WEIGHT_DECAY, epsilon=_ADAM_EPSILON
        ),
        loss=keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=config.label_smoothing
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name=ACCURACY)],
        jit_compile=use_xla,
    )
