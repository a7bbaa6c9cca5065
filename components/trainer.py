"""Trainer: the model is made by `trainer.run_fn`."""

from typing import Any

from tfx.components import Trainer
from tfx.proto import trainer_pb2
from tfx.types import BaseChannel

from components.code_version import code_version
from configs.load import part_to_json
from configs.types import PipelineConfig
from schema.features import Split


def training_config(config: PipelineConfig) -> dict[str, Any]:
    """Say what `run_fn` and `tuner_fn` need to know.

    Args:
        config: all settings.

    Returns:
        `custom_config` of Trainer and Tuner: JSON of their settings, and the version of the code.
    """
    return {
        "train": part_to_json(config.train),
        "tune": part_to_json(config.tune),
        "transform": part_to_json(config.transform),
        "code_version": code_version(["trainer", "transform", "schema"]),
    }


def build_trainer(
    config: PipelineConfig,
    *,
    examples: BaseChannel,
    transform_graph: BaseChannel,
    schema: BaseChannel,
    hyperparameters: BaseChannel | None,
) -> Trainer:
    """Build the stage that trains.

    Args:
        config: all settings.
        examples: transformed examples.
        transform_graph: how they were transformed; ties the model to it in ML Metadata.
        schema: schema whose label domain gives the ids.
        hyperparameters: what the search found; None trains with the settings as they are.

    Returns:
        The Trainer node; outputs `model` and `model_run`.
    """
    return Trainer(
        examples=examples,
        transform_graph=transform_graph,
        schema=schema,
        hyperparameters=hyperparameters,
        run_fn="trainer.run_fn.run_fn",
        train_args=trainer_pb2.TrainArgs(splits=[Split.TRAIN]),
        eval_args=trainer_pb2.EvalArgs(splits=[Split.VALIDATION]),
        custom_config=training_config(config),
    )
