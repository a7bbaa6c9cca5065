"""The Trainer stage: `run_fn` is what TFX calls."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from configs.errors import StageError
from configs.load import from_json, part_to_json
from configs.types import TrainConfig, TransformConfig
from data.places import local_output, place_of
from schema.labels import labels_of_schema, read_schema
from trainer.fitting import FittedClassifier, fit_classifier
from trainer.input_fn import Split, make_evaluation_dataset, open_split
from trainer.signatures import export_classifier
from trainer.thresholds import Decision, choose_decision

TRAIN_KEY: Final = "train"
TRANSFORM_KEY: Final = "transform"
HYPERPARAMETERS_FILENAME: Final = "hyperparameters.json"

logger = logging.getLogger("loupe.trainer")


@dataclasses.dataclass(frozen=True)
class TrainingInputs:
    """What TFX hands to the Trainer and to the Tuner, in our words.

    Attributes:
        config: the training loop.
        labels: class names in the order of their ids.
        train: split to learn from.
        validation: split to stop and to choose by.
    """

    config: TrainConfig
    labels: list[str]
    train: Split
    validation: Split


def run_fn(fn_args: Any) -> None:
    """Train a classifier and export it.

    Args:
        fn_args: TFX's FnArgs: `train_files` and `eval_files` (patterns of transformed examples of
            the train and validation splits), `schema_path`, `serving_model_dir`, `model_run_dir`,
            `hyperparameters` (what the Tuner found, or None) and `custom_config` with the JSON of
            TrainConfig under `train` and of TransformConfig under `transform`.

    Raises:
        StageError: `custom_config` is incomplete, a split is empty, or the loss became no number.
        ConfigError: a setting does not fit the data or the devices.
        DataError: the schema cannot be read or lists fewer than two classes.
    """
    inputs = read_inputs(fn_args)
    config = apply_hyperparameters(inputs.config, fn_args.hyperparameters)
    with local_output(fn_args.model_run_dir) as run_folder:
        write_hyperparameters(run_folder, config)
        fitted = fit_classifier(config, inputs.train, inputs.validation, run_folder=run_folder)
    decision = decide_on_validation(fitted, inputs.validation, config)
    logger.info(
        "validation accuracy %.3f, review share %.3f",
        decision.validation_accuracy,
        decision.validation_review_share,
    )
    with local_output(fn_args.serving_model_dir) as folder:
        export_classifier(fitted.model, labels=inputs.labels, decision=decision, folder=folder)


def write_hyperparameters(run_folder: Path, config: TrainConfig) -> None:
    """Record what the model is trained with, searched values included.

    Args:
        run_folder: folder of the ModelRun artifact; made when missing.
        config: the values.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    (run_folder / HYPERPARAMETERS_FILENAME).write_text(part_to_json(config), encoding="utf-8")


def read_inputs(fn_args: Any) -> TrainingInputs:
    """Read settings, labels and splits from what TFX hands over.

    Args:
        fn_args: as of `run_fn`.

    Returns:
        The inputs, splits counted.

    Raises:
        StageError: `custom_config` is incomplete, or a split is empty.
        DataError: the schema cannot be read or lists fewer than two classes.
    """
    custom_config: Mapping[str, Any] = fn_args.custom_config or {}
    missing = sorted({TRAIN_KEY, TRANSFORM_KEY} - set(custom_config))
    if missing:
        raise StageError(
            f"trainer: custom_config lacks {', '.join(missing)}, got {sorted(custom_config)}. "
            "Build the stage with components.trainer.build_trainer, which fills it."
        )
    config = from_json(TrainConfig, custom_config[TRAIN_KEY])
    image = from_json(TransformConfig, custom_config[TRANSFORM_KEY])
    labels = labels_of_schema(read_schema(place_of(fn_args.schema_path)))
    train, validation = (
        open_split(patterns, name=name, num_classes=len(labels), image=image)
        for name, patterns in (("train", fn_args.train_files), ("validation", fn_args.eval_files))
    )
    return TrainingInputs(config, labels, train, validation)


def apply_hyperparameters(
    config: TrainConfig, hyperparameters: Mapping[str, Any] | None
) -> TrainConfig:
    """Let the values of a search rule.

    Args:
        config: the values of the configuration.
        hyperparameters: KerasTuner's HyperParameters config, or None when nothing was searched.

    Returns:
        The config with those fields replaced that the search had a value for.

    Raises:
        StageError: the search varied something that is no setting of the trainer.
        ConfigError: a value is out of range.
    """
    values: dict[str, Any] = dict((hyperparameters or {}).get("values", {}))
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    if unknown := sorted(set(values) - known):
        raise StageError(
            f"trainer: hyperparameters {', '.join(unknown)} are no settings of the trainer, "
            f"expected some of {', '.join(sorted(known))}. Search again, or mend the imported file."
        )
    if values:
        logger.info("using the tuner's %s", values)
    return dataclasses.replace(config, **values)


def decide_on_validation(
    fitted: FittedClassifier, validation: Split, config: TrainConfig
) -> Decision:
    """Choose temperature and threshold by the validation split.

    Args:
        fitted: the trained classifier.
        validation: the split to choose by.
        config: review band and class balance.

    Returns:
        The decision.
    """
    # One graph for every batch; eagerly this pass takes twice as long.
    network: Any = tf.function(
        lambda pixels: fitted.model(pixels, training=False),
        input_signature=[tf.TensorSpec(fitted.model.input_shape, tf.float32)],
    )
    logits: list[Any] = []
    label_ids: list[Any] = []
    for pixels, one_hot, weights in make_evaluation_dataset(validation, config):
        is_known = weights.numpy() > 0
        logits.append(network(pixels).numpy()[is_known])
        label_ids.append(one_hot.numpy().argmax(axis=1)[is_known])
    return choose_decision(
        np.concatenate(logits),
        np.concatenate(label_ids),
        review_band=config.review_band,
        is_balanced=config.balance_classes,
    )
