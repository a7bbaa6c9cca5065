"""Tuner: a search for hyperparameters, or the result of a past one."""

from pathlib import Path

from tfx.components import Tuner
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.proto import trainer_pb2
from tfx.types import BaseChannel, standard_artifacts

from components.trainer import training_config
from configs.errors import ConfigError
from configs.types import PipelineConfig
from schema.features import Split

HYPERPARAMETERS_FILENAME = "best_hyperparameters.txt"
OUTPUT_KEY = "best_hyperparameters"


def build_tuner(
    config: PipelineConfig,
    *,
    examples: BaseChannel,
    transform_graph: BaseChannel,
    schema: BaseChannel,
) -> BaseNode | None:
    """Build the stage that looks for hyperparameters.

    Args:
        config: all settings; `tune` decides what is built.
        examples: transformed examples.
        transform_graph: how they were transformed.
        schema: schema whose label domain gives the ids.

    Returns:
        A Tuner, an importer of a past search, or None when the search is off.

    Raises:
        ConfigError: the past search to import does not exist.
    """
    if config.tune.import_file:
        return _import_search(Path(config.tune.import_file))
    if not config.tune.enabled:
        return None
    return Tuner(
        examples=examples,
        transform_graph=transform_graph,
        schema=schema,
        tuner_fn="trainer.tuner_fn.tuner_fn",
        train_args=trainer_pb2.TrainArgs(splits=[Split.TRAIN]),
        eval_args=trainer_pb2.EvalArgs(splits=[Split.VALIDATION]),
        custom_config=training_config(config),
    )


def best_hyperparameters(tuner: BaseNode | None) -> BaseChannel | None:
    """Name what the Trainer takes from the search.

    Args:
        tuner: what `build_tuner` returned.

    Returns:
        The channel of best hyperparameters; None without a search.
    """
    if tuner is None:
        return None
    return tuner.outputs["result" if isinstance(tuner, Importer) else OUTPUT_KEY]


def _import_search(path: Path) -> Importer:
    if path.name != HYPERPARAMETERS_FILENAME or not path.is_file():
        raise ConfigError(
            f"tune.import_file is '{path}', expected an existing file named "
            f"{HYPERPARAMETERS_FILENAME}, as a Tuner stage writes it."
        )
    return Importer(
        source_uri=str(path.resolve().parent), artifact_type=standard_artifacts.HyperParameters
    ).with_id("Tuner")
