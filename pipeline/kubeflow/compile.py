"""The pipeline as a file that Kubeflow Pipelines runs: spec 2.1 and the platform document."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from configs.types import PipelineConfig
from pipeline.kubeflow.parameters import run_parameters
from pipeline.kubeflow.platform import platform_document
from pipeline.kubeflow.spec import EXECUTOR_SUFFIX, complete_spec

ENTRY_POINT = ("python", "-m", "pipeline.kubeflow.entrypoint")
"""What every container runs; Kubeflow never uses an image's own entry point."""


@dataclass(frozen=True)
class CompiledPipeline:
    """What a compiled file holds.

    Attributes:
        spec: the pipeline spec, as JSON values.
        platform: the platform document, as JSON values.
    """

    spec: dict[str, Any]
    platform: dict[str, Any]

    def to_yaml(self) -> str:
        """Write both documents.

        Returns:
            YAML that is the same for the same settings and code.
        """
        return yaml.safe_dump_all(
            [self.spec, self.platform], sort_keys=True, width=1_000_000, allow_unicode=True
        )


def compile_pipeline(config: PipelineConfig) -> CompiledPipeline:
    """Compile `create_pipeline` for Kubeflow; neither data nor a cluster is needed.

    Args:
        config: all settings.

    Returns:
        The compiled pipeline, checked.

    Raises:
        ConfigError: a setting that Kubeflow would reject or ignore.
    """
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )

    from pipeline.kubeflow.surroundings import kubeflow_surroundings
    from pipeline.pipeline import create_pipeline

    pipeline = create_pipeline(config, kubeflow_surroundings(config))
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=config.kubeflow.image,
            default_commands=list(ENTRY_POINT),
            use_pipeline_spec_2_1=True,
        )
    )
    spec: dict[str, Any] = runner.run(pipeline, write_out=False)["pipelineSpec"]
    complete_spec(spec, config.kubeflow, run_parameters(config))
    platform = platform_document(config.kubeflow, _container_stages(spec))
    return CompiledPipeline(spec, platform)


def write_compiled(compiled: CompiledPipeline, path: Path) -> None:
    """Write a compiled pipeline, whole or not at all.

    Args:
        compiled: the pipeline.
        path: the YAML file; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(compiled.to_yaml(), encoding="utf-8")
    temporary.rename(path)


def _container_stages(spec: dict[str, Any]) -> list[str]:
    return [
        label.removesuffix(EXECUTOR_SUFFIX)
        for label, executor in spec["deploymentSpec"]["executors"].items()
        if "container" in executor
    ]
