"""Beam flags from settings: one place decides runner, mode and workers."""

import json
import os
import re
from pathlib import Path
from typing import Any

from configs.beam import BeamConfig, DataflowConfig, FlinkConfig
from configs.errors import ConfigError
from configs.load import REPOSITORY_ROOT

IMAGES_WORTH_PROCESSES = 40_000
"""Below this, starting worker processes (each imports TensorFlow again) costs more than it gains:
60,000 small images take 33 s in one process and 25 s in two on 2 cores, 9 of them their start."""

_NO_PACKAGING = "--sdk_container_image=unused"
"""Workers that have Loupe's packages ignore the image. Without such a flag TFX packs all of itself
for remote workers at each stage: a second, and 20 MB that stay in /tmp."""
_IMAGE = re.compile(r"\S+(?::(?!latest$)[\w][\w.-]*|@sha256:[0-9a-f]{64})")


def beam_args(config: BeamConfig) -> list[Any]:
    """Choose Beam's flags for every stage.

    Args:
        config: the beam settings.

    Returns:
        Flags for `beam_pipeline_args`; text, though TFX's type would allow placeholders.

    Raises:
        ConfigError: a setting that the runner needs is missing or contradicts another.
    """
    if config.runner == "FlinkRunner":
        flags = _flink_flags(config.flink)
    elif config.runner == "DataflowRunner":
        flags = _dataflow_flags(config.dataflow)
    elif config.runner == "DirectRunner":
        # TensorFlow's and TFDV's own threads use the cores; processes would only import them again.
        flags = [*_direct_mode("in_memory", 1), _NO_PACKAGING]
    else:
        flags = []
    return [f"--runner={config.runner}", *flags, *config.extra_args]


def reading_args(config: BeamConfig, *, num_images: int) -> list[Any]:
    """Choose Beam's flags for the stage that reads images, which is Python's work for each one.

    Args:
        config: the beam settings.
        num_images: images in the data set, which decides what `auto` means.

    Returns:
        Flags that come after those of `beam_args` and win over them.
    """
    if config.runner != "DirectRunner":
        return []
    mode = config.running_mode
    if mode == "auto":
        mode = "in_memory" if num_images < IMAGES_WORTH_PROCESSES else "multi_processing"
    if mode == "in_memory":
        return _direct_mode(mode, 1)
    workers = config.num_workers or os.cpu_count() or 1
    return _direct_mode(mode, workers)


def worker_imports(*modules: str) -> list[Any]:
    """Name what a stage's workers import before their threads start.

    Args:
        modules: dotted names. Two threads that import the same package at once may each see half
            of it, and some packages must be imported before others.

    Returns:
        Flags for the stage's `with_beam_pipeline_args`.
    """
    return [f"--beam_plugins={module}" for module in modules]


def _direct_mode(mode: str, workers: int) -> list[str]:
    return [f"--direct_running_mode={mode}", f"--direct_num_workers={workers}"]


def _flink_flags(flink: FlinkConfig) -> list[str]:
    image = flink.worker if flink.environment == "DOCKER" else ""
    return [
        f"--flink_version={flink.version}",
        # With [auto] a job server that runs already takes its own cluster.
        f"--flink_master={'[auto]' if flink.job_server else flink.master}",
        *_flag("flink_job_server_jar", flink.job_server_jar),
        *_flag("job_endpoint", flink.job_server),
        f"--environment_type={flink.environment}",
        *_flag("environment_config", _flink_worker(flink)),
        f"--sdk_worker_parallelism={flink.workers_per_task_manager}",
        *_flag("parallelism", flink.parallelism),
        f"--sdk_container_image={image}" if image else _NO_PACKAGING,
    ]


def _flink_worker(flink: FlinkConfig) -> str:
    is_loopback = flink.environment == "LOOPBACK"
    if is_loopback and flink.worker:
        raise ConfigError(
            f"beam.flink.worker is '{flink.worker}', but beam.flink.environment is LOOPBACK, whose "
            "worker is the stage itself. Empty it, or choose EXTERNAL, PROCESS or DOCKER."
        )
    if not is_loopback and not flink.worker:
        raise ConfigError(
            f"beam.flink.worker is empty, but beam.flink.environment is {flink.environment}. Give "
            "the address of the worker pool (EXTERNAL), the command (PROCESS) or the image "
            "(DOCKER)."
        )
    if flink.environment == "DOCKER":
        _require_image("beam.flink.worker", flink.worker)
    return json.dumps({"command": flink.worker}) if flink.environment == "PROCESS" else flink.worker


def _dataflow_flags(dataflow: DataflowConfig) -> list[str]:
    for name, example in (
        ("project", "my-project"),
        ("region", "europe-west1"),
        ("temp_location", "gs://my-bucket/beam"),
        ("worker_image", "europe-docker.pkg.dev/my-project/loupe/worker:0.1.0"),
    ):
        if not getattr(dataflow, name):
            raise ConfigError(
                f"beam.dataflow.{name} is empty, but beam.runner is DataflowRunner. "
                f"Set it, as in --set beam.dataflow.{name}={example}."
            )
    if not dataflow.temp_location.startswith("gs://"):
        raise ConfigError(
            f"beam.dataflow.temp_location is '{dataflow.temp_location}', expected a folder that "
            "Dataflow's workers reach, such as gs://my-bucket/beam."
        )
    _require_image("beam.dataflow.worker_image", dataflow.worker_image)
    return [
        f"--project={dataflow.project}",
        f"--region={dataflow.region}",
        f"--temp_location={dataflow.temp_location}",
        f"--sdk_container_image={dataflow.worker_image}",
        f"--setup_file={_setup_file(dataflow)}",
        # Everything that workers need is importable. Dataflow would pickle the stage's own main
        # module and run it again on each worker.
        "--no_save_main_session",
        *_flag("worker_machine_type", dataflow.machine_type),
        *_flag("max_num_workers", dataflow.max_num_workers),
        *_flag("service_account_email", dataflow.service_account),
        *_flag("subnetwork", dataflow.subnetwork),
        "--use_public_ips" if dataflow.use_public_ips else "--no_use_public_ips",
        *(f"--dataflow_service_options={option}" for option in dataflow.service_options),
    ]


def _setup_file(dataflow: DataflowConfig) -> Path:
    path = Path(dataflow.setup_file) if dataflow.setup_file else REPOSITORY_ROOT / "setup.py"
    if not path.is_file():
        raise ConfigError(
            f"'{path}' does not exist, expected the setup.py of the code that Dataflow's workers "
            "install. Run from a clone, or name it with beam.dataflow.setup_file."
        )
    return path.resolve()


def _require_image(name: str, image: str) -> None:
    if not _IMAGE.fullmatch(image):
        raise ConfigError(
            f"{name} is '{image}', expected an image with a fixed version, such as "
            "registry/loupe/worker:0.1.0 or registry/loupe/worker@sha256:... Add its tag or digest."
        )


def _flag(name: str, value: str | int) -> list[str]:
    return [f"--{name}={value}"] if value else []
