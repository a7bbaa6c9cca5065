"""What differs between this machine and Kubeflow, as `create_pipeline` asks for it."""

from pathlib import PurePosixPath
from typing import Any

from tfx.orchestration.data_types import RuntimeParameter

from components.blessed.component import build_blessed_baseline, build_promotion
from configs.errors import ConfigError
from configs.types import PipelineConfig
from pipeline.dataset import curated_schema
from pipeline.kubeflow.parameters import (
    DATA_ROOT,
    DATA_VERSION,
    TRAIN_EPOCHS,
    TRAIN_MAX_STEPS,
    run_parameters,
)
from pipeline.surroundings import Surroundings

PLACEHOLDER_ROOT = "pipeline-root"
"""TFX asks for a root; the compiled file holds none, because each run is told its own."""


def kubeflow_surroundings(config: PipelineConfig) -> Surroundings:
    """Describe a run on Kubeflow; no data is looked at.

    Args:
        config: all settings.

    Returns:
        Surroundings whose data and length of training are parameters of the run.

    Raises:
        ConfigError: a setting that cannot work there.
    """
    folder = _push_folder(config)
    if config.infra.platform != "process":
        raise ConfigError(
            f"infra.platform is '{config.infra.platform}', expected 'process' on Kubeflow: the "
            "stage starts the model server in its own pod. Set infra.platform=process."
        )
    return Surroundings(
        artifacts=config.kubeflow.pipeline_root or PLACEHOLDER_ROOT,
        data_root=_parameter(config, DATA_ROOT),
        data_version=_parameter(config, DATA_VERSION),
        num_images=0,
        curated_schema=curated_schema(config, _dataset_name(config)),
        epochs=_parameter(config, TRAIN_EPOCHS),
        max_steps=_parameter(config, TRAIN_MAX_STEPS),
        push_folder=folder,
        find_baseline=lambda model: build_blessed_baseline(folder, candidate=model),
        build_promotion=lambda model, pushed: build_promotion(
            folder, model=model, pushed_model=pushed
        ),
    )


def _push_folder(config: PipelineConfig) -> str:
    folder = config.push.folder or f"{config.kubeflow.models.path}/{config.model_name}"
    if folder.startswith("gs://"):
        return folder
    mount = PurePosixPath(config.kubeflow.models.path or "/nowhere")
    if mount not in PurePosixPath(folder).parents:
        raise ConfigError(
            f"push.folder is '{folder}', expected a folder below kubeflow.models.path ('{mount}'), "
            "where the claim of models is mounted, or a gs:// URL: anything else is gone with the "
            "pod. Change one of them."
        )
    return folder


def _dataset_name(config: PipelineConfig) -> str:
    return config.data.dataset or PurePosixPath(config.kubeflow.data_root).name.split(".")[0]


def _parameter(config: PipelineConfig, name: str) -> Any:
    parameter = run_parameters(config)[name]
    return RuntimeParameter(name=parameter.name, ptype=parameter.kind, default=parameter.default)
