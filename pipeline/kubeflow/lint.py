"""Checks a compiled pipeline for what Kubeflow Pipelines would reject or silently ignore.

The rules C1 to C16 are the places where TFX's output and open-source Kubeflow Pipelines v2 part;
the others are what the Kubernetes API and Argo would answer only when a run starts.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from configs.errors import ConfigError
from pipeline.kubeflow.findings import Finding
from pipeline.kubeflow.lint_executors import find_in_executors, find_in_types
from pipeline.kubeflow.lint_platform import find_in_platform
from pipeline.kubeflow.lint_tasks import find_in_names, find_in_parameters, find_in_tasks
from pipeline.kubeflow.secrets import find_secrets

SCHEMA_VERSION = "2.1.0"
MAX_BYTES = 1 << 20
"""Kubernetes refuses objects of more than 1.5 MiB, and Argo adds its own to the spec."""


def find_problems(
    spec: Mapping[str, Any], platform: Mapping[str, Any], *, required: Iterable[str] = ()
) -> list[Finding]:
    """Look for everything that would not work.

    Args:
        spec: the pipeline spec, as JSON values.
        platform: the platform document, as JSON values.
        required: parameters that every run gives, and that need no default.

    Returns:
        What was found; empty for a pipeline that Kubeflow accepts.
    """
    if wrapper := list(_find_wrapper(spec)):
        return wrapper  # nothing else is where it belongs
    return [
        *_find_in_head(spec),
        *find_in_names(spec),
        *find_in_tasks(spec),
        *find_in_parameters(spec, set(required)),
        *find_in_executors(spec),
        *find_in_types(spec),
        *find_in_platform(spec, platform),
        *find_secrets({"pipeline": spec, "platform": platform}),
    ]


def check_findings(findings: Iterable[Finding]) -> None:
    """Refuse a pipeline with problems.

    Args:
        findings: what was found.

    Raises:
        ConfigError: anything was found; the message says all of it.
    """
    lines = [str(finding) for finding in findings]
    if lines:
        count = f"{len(lines)} thing{'s' if len(lines) > 1 else ''}"
        raise ConfigError(
            f"{count} in the compiled pipeline would not work on Kubeflow: " + " | ".join(lines)
        )


def _find_wrapper(spec: Mapping[str, Any]) -> Iterator[Finding]:
    if "pipelineSpec" in spec:
        yield Finding(
            "C2",
            "pipeline",
            "it is a PipelineJob, as TFX's pipeline.json is, which the server calls an unknown "
            "template format",
            "Write what is under pipelineSpec alone, into a .yaml file",
        )


def _find_in_head(spec: Mapping[str, Any]) -> Iterator[Finding]:
    version = spec.get("schemaVersion")
    if version != SCHEMA_VERSION:
        yield Finding(
            "C1",
            "schemaVersion",
            f"it is '{version}', and the server takes only {SCHEMA_VERSION}",
            "Compile with KubeflowV2DagRunnerConfig(use_pipeline_spec_2_1=True)",
        )
    if spec.get("defaultPipelineRoot"):
        yield Finding(
            "C3",
            "defaultPipelineRoot",
            "the server ignores it",
            "Give pipeline_root with each run (kubeflow.pipeline_root does)",
        )
    try:
        message = json_format.ParseDict(dict(spec), pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        yield Finding(
            "SPEC",
            "pipeline",
            f"it is no PipelineSpec ({error}), and the server reads strictly",
            "Remove or rename the field",
        )
        return
    if (size := message.ByteSize()) > MAX_BYTES:
        yield Finding(
            "SIZE",
            "pipeline",
            f"it has {size} bytes, more than the {MAX_BYTES} that fit into a Kubernetes object",
            "Shorten what is written into it; a curated schema of many classes is most of it",
        )
