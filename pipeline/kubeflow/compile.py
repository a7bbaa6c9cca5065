"""The pipeline as a file that Kubeflow Pipelines runs: spec 2.1 and the platform document."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from configs.errors import ConfigError
from configs.types import PipelineConfig
from pipeline.kubeflow.lint import check_findings, find_problems
from pipeline.kubeflow.lint_tasks import find_in_pipeline_name, stage_names
from pipeline.kubeflow.parameters import run_parameters
from pipeline.kubeflow.platform import platform_document
from pipeline.kubeflow.spec import complete_spec

ENTRY_POINT = ("python", "-m", "pipeline.kubeflow.entrypoint")
"""What every container runs; Kubeflow never uses an image's own entry point."""

YAML_SUFFIXES = (".yaml", ".yml")


class _Dumper(yaml.SafeDumper):
    """Writes texts so that Go's YAML reads texts."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML leaves 1e3, 0o17 and 2026-1-2 plain, which are numbers and a time to the server: a hash
    # or a label of such a form would be refused, or be another one.
    style = '"' if text[:1] in {*"+-.0123456789"} else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


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
        documents = [self.spec, self.platform]
        return yaml.dump_all(
            documents, Dumper=_Dumper, sort_keys=True, width=1_000_000, allow_unicode=True
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
    from pipeline.kubeflow.surroundings import config_of_pods, kubeflow_surroundings
    from pipeline.pipeline import create_pipeline

    config = config_of_pods(config)
    return compile_dag(create_pipeline(config, kubeflow_surroundings(config)), config)


def compile_dag(pipeline: Any, config: PipelineConfig) -> CompiledPipeline:
    """Compile any TFX pipeline for Kubeflow, and check the result.

    Args:
        pipeline: a TFX Pipeline; its runtime parameters are those of `run_parameters`.
        config: all settings.

    Returns:
        The compiled pipeline, checked.

    Raises:
        ConfigError: something that Kubeflow would reject or ignore; the message says what to do.
    """
    from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import (
        KubeflowV2DagRunner,
        KubeflowV2DagRunnerConfig,
    )

    from pipeline.kubeflow.lint_nodes import find_in_nodes

    name: str = pipeline.pipeline_info.pipeline_name
    check_findings([*find_in_pipeline_name(name), *find_in_nodes(pipeline.components)])
    runner = KubeflowV2DagRunner(
        KubeflowV2DagRunnerConfig(
            default_image=config.kubeflow.image,
            default_commands=list(ENTRY_POINT),
            use_pipeline_spec_2_1=True,
        )
    )
    try:
        spec: dict[str, Any] = runner.run(pipeline, write_out=False)["pipelineSpec"]
    except (TypeError, ValueError, KeyError, NotImplementedError) as error:
        raise ConfigError(
            f"TFX cannot compile the pipeline for Kubeflow: {type(error).__name__}: {error}. "
            "Change the node that it names."
        ) from error
    parameters = run_parameters(config)
    complete_spec(spec, config.kubeflow, parameters)
    platform = platform_document(config.kubeflow, sorted(stage_names(spec)))
    required = [name for name, parameter in parameters.items() if parameter.default is None]
    check_findings(find_problems(spec, platform, required=required))
    return CompiledPipeline(spec, platform)


def write_compiled(compiled: CompiledPipeline, path: Path) -> None:
    """Write a compiled pipeline, whole or not at all.

    Args:
        compiled: the pipeline.
        path: the YAML file; its folder is made.

    Raises:
        ConfigError: the file's name has another ending than the server and its client take, or it
            cannot be written.
    """
    if path.suffix not in YAML_SUFFIXES:
        raise ConfigError(
            f"C2: the compiled pipeline is to be '{path}', expected a name that ends in "
            f"{' or '.join(YAML_SUFFIXES)}: the client takes no other. Rename it."
        )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(compiled.to_yaml(), encoding="utf-8")
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the compiled pipeline cannot be written to '{path}': {error.strerror or error}. "
            "Choose another file or workspace."
        ) from error
