"""What the driver of a container does: resolve inputs, provision outputs, look into the cache.

Source: kubeflow/pipelines, backend/src/v2/driver (resolve.go, driver.go, cache.go) and
backend/src/v2/cacheutils/cache.go.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from replay_checks import _KINDS, ParameterType, UploadedPipeline
from replay_store import Execution, LauncherError, local_path

LOGS_KEY = "executor-logs"


@dataclass(frozen=True)
class KubeflowVersion:
    """What differs between versions of Kubeflow Pipelines."""

    names_outputs: bool
    output_file_in_task_root: bool
    matches_bare_prefixes: bool
    numbers_logs: bool


KUBEFLOW_2_5 = KubeflowVersion(
    names_outputs=False,
    output_file_in_task_root=False,
    matches_bare_prefixes=True,
    numbers_logs=False,
)
KUBEFLOW_2_17 = KubeflowVersion(
    names_outputs=True,
    output_file_in_task_root=True,
    matches_bare_prefixes=False,
    numbers_logs=True,
)


@dataclass(frozen=True)
class Driver:
    """Drives the tasks of one run."""

    pipeline: UploadedPipeline
    version: KubeflowVersion
    parameters: dict[str, struct_pb2.Value]
    run_root: str
    publishes_logs: bool = True

    def executor_input(
        self, task: str, done: dict[str, Execution], local_root: Path
    ) -> pipeline_spec_pb2.ExecutorInput:
        """The message for the container of a task."""
        message = pipeline_spec_pb2.ExecutorInput()
        spec, component = self.pipeline.tasks[task], self.pipeline.component(task)
        for name, source in spec.inputs.artifacts.items():
            output = source.task_output_artifact
            artifacts = done[output.producer_task].artifacts
            if output.output_artifact_key not in artifacts:
                raise LauncherError(f"{task}: {output.producer_task} left no {name}")
            runtime = artifacts[output.output_artifact_key].to_runtime()
            message.inputs.artifacts[name].artifacts.add().CopyFrom(runtime)
        for name, source in spec.inputs.parameters.items():
            value = self._parameter(source, done)
            definition = component.input_definitions.parameters[name]
            value = _converted(name, value, definition.parameter_type)
            message.inputs.parameter_values[name].CopyFrom(value)
        self._provision(task, component.output_definitions, message.outputs, local_root)
        return message

    def _parameter(self, source: Any, done: dict[str, Execution]) -> struct_pb2.Value:
        match source.WhichOneof("kind"):
            case "runtime_value":
                return source.runtime_value.constant
            case "component_input_parameter":
                return self.parameters[source.component_input_parameter]
            case "task_output_parameter":
                output = source.task_output_parameter
                return done[output.producer_task].parameters[output.output_parameter_key]
            case kind:
                raise LauncherError(f"parameter spec of type {kind} not implemented yet")

    def _provision(self, task: str, definitions: Any, outputs: Any, local_root: Path) -> None:
        task_root = f"{self.run_root}/{task}/{uuid.uuid4()}"
        specs = dict(definitions.artifacts)
        if self.publishes_logs:
            specs[LOGS_KEY] = pipeline_spec_pb2.ComponentOutputsSpec.ArtifactSpec()
            specs[LOGS_KEY].artifact_type.schema_title = "system.Artifact"
        for name, spec in specs.items():
            artifact = outputs.artifacts[name].artifacts.add()
            if self.version.names_outputs:
                artifact.name = name
            artifact.uri = f"{task_root}/{name}"
            artifact.type.CopyFrom(spec.artifact_type)
            artifact.metadata.CopyFrom(spec.metadata)
        for name in definitions.parameters:
            path = local_root / "tmp" / "kfp" / "outputs" / name
            outputs.parameters[name].output_file = str(path)
        folder = local_root / "tmp" / "kfp_outputs"
        if self.version.output_file_in_task_root:
            folder = local_path(task_root, local_root)
        outputs.output_file = str(folder / "output_metadata.json")

    def fingerprint(self, task: str, message: pipeline_spec_pb2.ExecutorInput) -> str:
        """The cache key; empty when the task is not to be cached."""
        if not self.pipeline.tasks[task].caching_options.enable_cache:
            return ""
        container = self.pipeline.container(task)
        definitions = self.pipeline.component(task).output_definitions.parameters
        outputs: dict[str, Any] = {}
        for name, artifacts in message.outputs.artifacts.items():
            (artifact,) = artifacts.artifacts
            outputs[name] = json_format.MessageToDict(artifact) | {"uri": ""}
        key = {
            "inputArtifactNames": {
                name: [artifact.name for artifact in artifacts.artifacts]
                for name, artifacts in message.inputs.artifacts.items()
            },
            "inputParameterValues": {
                name: json_format.MessageToDict(value)
                for name, value in message.inputs.parameter_values.items()
            },
            "outputArtifactsSpec": outputs,
            "outputParametersSpec": {n: s.parameter_type for n, s in definitions.items()},
            "image": container.image,
            "cmdArgs": [*container.command, *container.args],
            "pvcNames": sorted({claim for claim, _ in volume_claims(self.pipeline, task)}),
        }
        return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def volume_claims(pipeline: UploadedPipeline, task: str) -> list[tuple[str, str]]:
    """Claims that a task mounts, with their paths."""
    return [
        (_constant(mount["pvcNameParameter"]), mount["mountPath"])
        for mount in pipeline.kubernetes(task).get("pvcMount", [])
    ]


def secret_variables(
    pipeline: UploadedPipeline, task: str, secrets: dict[str, dict[str, str]]
) -> dict[str, str]:
    """Environment variables from secrets; an absent secret keeps the pod from starting."""
    variables: dict[str, str] = {}
    for secret in pipeline.kubernetes(task).get("secretAsEnv", []):
        name = _constant(secret["secretNameParameter"])
        for pair in secret["keyToEnv"]:
            if name not in secrets or pair["secretKey"] not in secrets[name]:
                raise LauncherError(f"{task}: CreateContainerConfigError: secret '{name}'")
            variables[pair["envVar"]] = secrets[name][pair["secretKey"]]
    return variables


def _constant(parameter: dict[str, Any]) -> str:
    return parameter["runtimeValue"]["constant"]


def _converted(name: str, value: struct_pb2.Value, wanted: Any) -> struct_pb2.Value:
    kind = value.WhichOneof("kind")
    if kind == _KINDS[wanted]:
        return value
    if wanted != ParameterType.STRING:
        raise LauncherError(f"input parameter '{name}' type mismatch: got {kind}")
    plain = json_format.MessageToDict(value)
    if kind == "number_value":
        text = str(int(plain)) if float(plain).is_integer() else repr(plain)
    else:
        text = json.dumps(plain)
    return struct_pb2.Value(string_value=text)
