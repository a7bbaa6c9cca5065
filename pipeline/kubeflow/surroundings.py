"""What differs between this machine and Kubeflow, as `create_pipeline` asks for it."""

import dataclasses
from pathlib import PurePosixPath
from typing import Any

from tfx.orchestration.data_types import RuntimeParameter

from components.blessed.component import build_blessed_baseline, build_promotion
from configs.errors import ConfigError
from configs.kubeflow import Volume
from configs.quantity import parse_quantity
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
    data = config.kubeflow.data
    if data.claim and config.kubeflow.data_root.startswith("/"):
        _require_below("kubeflow.data_root", config.kubeflow.data_root, "kubeflow.data", data)
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
        stop_when_refused=True,
        push_folder=folder,
        find_baseline=lambda model: build_blessed_baseline(folder, candidate=model),
        build_promotion=lambda model, pushed: build_promotion(
            folder, model=model, pushed_model=pushed
        ),
    )


def config_of_pods(config: PipelineConfig) -> PipelineConfig:
    """Replace what would be taken from the machine that compiles.

    Args:
        config: all settings.

    Returns:
        The settings with as many reading workers as ExampleGen has CPUs, where they are not set.
    """
    cpu = config.kubeflow.stage("ExampleGen").cpu
    workers = max(1, int(parse_quantity("cpu", cpu))) if cpu else 1
    beam = dataclasses.replace(config.beam, num_workers=config.beam.num_workers or workers)
    return dataclasses.replace(config, beam=beam)


def _require_below(name: str, folder: str, volume_name: str, volume: Volume) -> None:
    path = PurePosixPath(folder)
    mount = PurePosixPath(volume.path)
    if not volume.claim or mount not in (path, *path.parents):
        raise ConfigError(
            f"{name} is '{folder}', expected a gs:// URL or a folder below {volume_name}.path "
            f"('{volume.path}'), where the claim '{volume.claim}' is mounted. Change one of them."
        )


def _push_folder(config: PipelineConfig) -> str:
    models = config.kubeflow.models
    folder = config.push.folder or f"{models.path}/{config.model_name}"
    if not folder.startswith("gs://"):
        _require_below("push.folder", folder, "kubeflow.models", models)
    return folder


def _dataset_name(config: PipelineConfig) -> str:
    return config.data.dataset or PurePosixPath(config.kubeflow.data_root).name.split(".")[0]


def _parameter(config: PipelineConfig, name: str) -> Any:
    parameter = run_parameters(config)[name]
    return RuntimeParameter(name=parameter.name, ptype=parameter.kind, default=parameter.default)
