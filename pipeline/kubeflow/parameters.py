"""What a run on Kubeflow may be told when it starts."""

from dataclasses import dataclass

from configs.types import PipelineConfig

DATA_ROOT = "data_root"
DATA_VERSION = "data_version"
TRAIN_EPOCHS = "train_epochs"
TRAIN_MAX_STEPS = "train_max_steps"


@dataclass(frozen=True)
class RunParameter:
    """A parameter of a run.

    Attributes:
        name: name under which a run gives it.
        kind: Python type of its value, str or int.
        default: value when a run does not give it; None means that it must.
        description: what it says, for the person who starts a run.
    """

    name: str
    kind: type[str] | type[int]
    default: str | int | None
    description: str


def run_parameters(config: PipelineConfig) -> dict[str, RunParameter]:
    """List the parameters of the compiled pipeline.

    Args:
        config: all settings; they give the defaults.

    Returns:
        Parameters by name.
    """
    parameters = (
        RunParameter(
            DATA_VERSION, str, None, "Fingerprint of the images: new data needs another one."
        ),
        RunParameter(
            DATA_ROOT, str, config.kubeflow.data_root, "Folder of images inside the container."
        ),
        RunParameter(TRAIN_EPOCHS, int, config.train.epochs, "Most epochs to train for."),
        RunParameter(
            TRAIN_MAX_STEPS, int, config.train.max_steps, "Most optimiser steps; 0: no limit."
        ),
    )
    return {parameter.name: parameter for parameter in parameters}
