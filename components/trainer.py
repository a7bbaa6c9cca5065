"""Trainer: the model is made by `trainer.run_fn`."""

import dataclasses
import json
from typing import Any

from tfx.components.trainer import executor as trainer_executor
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import trainer_pb2
from tfx.types import (
    BaseChannel,
    Channel,
    component_spec,
    standard_artifacts,
    standard_component_specs,
)

from components.code_version import code_version
from configs.load import from_json, part_to_json
from configs.types import PipelineConfig, TrainConfig
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


class Executor(trainer_executor.GenericExecutor):
    """TFX's Trainer, whose length of training is a parameter that a run may set."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Train.

        Args:
            input_dict: TFX's.
            output_dict: TFX's.
            exec_properties: TFX's, and `epochs` and `max_steps` as of TrainConfig.
        """
        custom_config: dict[str, Any] = json.loads(exec_properties["custom_config"])
        length = {name: exec_properties[name] for name in ("epochs", "max_steps")}
        config = from_json(TrainConfig, custom_config["train"])
        custom_config["train"] = part_to_json(dataclasses.replace(config, **length))
        super().Do(
            input_dict,
            output_dict,
            {**exec_properties, "custom_config": json.dumps(custom_config)},
        )


class ImageTrainerSpec(standard_component_specs.TrainerSpec):
    """Inputs, outputs and parameters of ImageTrainer."""

    PARAMETERS = {  # noqa: RUF012 (TFX reads this name)
        **standard_component_specs.TrainerSpec.PARAMETERS,
        "epochs": component_spec.ExecutionParameter(type=int),
        "max_steps": component_spec.ExecutionParameter(type=int),
    }


class ImageTrainer(base_component.BaseComponent):
    """Trainer with two parameters more than TFX's."""

    SPEC_CLASS = ImageTrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def build_trainer(
    config: PipelineConfig,
    *,
    epochs: int | RuntimeParameter,
    max_steps: int | RuntimeParameter,
    hyperparameters: BaseChannel | None,
    **inputs: BaseChannel,
) -> ImageTrainer:
    """Build the stage that trains.

    Args:
        config: all settings.
        epochs: most epochs to train for, or the parameter that says it.
        max_steps: most optimiser steps, likewise; 0 means no limit.
        hyperparameters: what the search found; None trains with the settings as they are.
        **inputs: transformed `examples`, the `transform_graph` they were made with (it ties the
            model to it in ML Metadata), and the `schema` whose label domain gives the ids.

    Returns:
        The Trainer node; outputs `model` and `model_run`.
    """
    spec = ImageTrainerSpec(
        run_fn="trainer.run_fn.run_fn",
        train_args=trainer_pb2.TrainArgs(splits=[Split.TRAIN]),
        eval_args=trainer_pb2.EvalArgs(splits=[Split.VALIDATION]),
        custom_config=json.dumps(training_config(config)),
        epochs=epochs,
        max_steps=max_steps,
        hyperparameters=hyperparameters,
        model=Channel(type=standard_artifacts.Model),
        model_run=Channel(type=standard_artifacts.ModelRun),
        **inputs,
    )
    return ImageTrainer(spec=spec).with_id("Trainer")
