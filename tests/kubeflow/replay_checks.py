"""What the API server and the compiler to Argo look at before a run exists.

Source: kubeflow/pipelines, backend/src/apiserver/template/v2_template.go, backend/src/v2/compiler.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from go_yaml import load_documents
from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

ParameterType = pipeline_spec_pb2.ParameterType
_KINDS = {
    ParameterType.NUMBER_DOUBLE: "number_value",
    ParameterType.NUMBER_INTEGER: "number_value",
    ParameterType.STRING: "string_value",
    ParameterType.BOOLEAN: "bool_value",
    ParameterType.LIST: "list_value",
    ParameterType.STRUCT: "struct_value",
}
_TASK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
_SUFFIX = "-driver"
_MAX_NAME = 128


class RejectedError(Exception):
    """A pipeline or run that Kubeflow would not accept."""


@dataclass(frozen=True)
class UploadedPipeline:
    """A compiled file that was accepted."""

    spec: pipeline_spec_pb2.PipelineSpec
    platform: dict[str, Any]

    @property
    def tasks(self):
        return self.spec.root.dag.tasks

    def component(self, task: str) -> pipeline_spec_pb2.ComponentSpec:
        return self.spec.components[self.tasks[task].component_ref.name]

    def container(self, task: str):
        label = self.component(task).executor_label
        return self.deployment.executors[label].container

    def kubernetes(self, task: str) -> dict[str, Any]:
        executors = self.platform.get("deploymentSpec", {}).get("executors", {})
        return executors.get(self.component(task).executor_label, {})

    @property
    def deployment(self) -> pipeline_spec_pb2.PipelineDeploymentConfig:
        message = pipeline_spec_pb2.PipelineDeploymentConfig()
        return json_format.ParseDict(json_format.MessageToDict(self.spec.deployment_spec), message)

    def in_order(self) -> list[str]:
        """Tasks, each after those it needs."""
        order: list[str] = []
        while len(order) < len(self.tasks):
            ready = [t for t in self.tasks if t not in order and producers(self, t) <= set(order)]
            if not ready:
                raise RejectedError(f"cycle among {sorted(set(self.tasks) - set(order))}")
            order += sorted(ready)
        return order


def producers(pipeline: UploadedPipeline, task: str) -> set[str]:
    """Tasks that a task waits for."""
    spec = pipeline.tasks[task]
    names = set(spec.dependent_tasks)
    names |= {
        source.task_output_artifact.producer_task for source in spec.inputs.artifacts.values()
    }
    names |= {
        source.task_output_parameter.producer_task
        for source in spec.inputs.parameters.values()
        if source.WhichOneof("kind") == "task_output_parameter"
    }
    return names


def upload(path: Path) -> UploadedPipeline:
    """Read a compiled file as strictly as the API server and the compiler to Argo do."""
    spec: pipeline_spec_pb2.PipelineSpec | None = None
    platform: dict[str, Any] = {}
    for document in load_documents(path.read_text()):
        try:
            if "pipelineInfo" in document:
                spec = json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())
            else:
                message = json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
                platform = json_format.MessageToDict(message)["platforms"]["kubernetes"]
        except json_format.ParseError as error:
            raise RejectedError(f"invalid document: {error}") from error
    if spec is None:
        raise RejectedError("no pipeline spec is provided")
    if spec.schema_version != "2.1.0":
        raise RejectedError(f"KFP only supports schema version 2.1.0, got {spec.schema_version}")
    pipeline = UploadedPipeline(spec, platform)
    for task in pipeline.tasks:
        _check_task(pipeline, task)
    pipeline.in_order()
    unknown = set(pipeline.platform.get("deploymentSpec", {}).get("executors", {})) - {
        component.executor_label for component in spec.components.values()
    }
    if unknown:
        raise RejectedError(f"platform document: no executor is called {sorted(unknown)}")
    return pipeline


def _check_task(pipeline: UploadedPipeline, task: str) -> None:
    if not _TASK_NAME.fullmatch(task) or len(task + _SUFFIX) > _MAX_NAME:
        raise RejectedError(f"task '{task}': not a name for Argo")
    spec = pipeline.tasks[task]
    if spec.WhichOneof("iterator") or spec.trigger_policy.condition or spec.trigger_policy.strategy:
        raise RejectedError(f"task '{task}': iterators and conditions are not replayed")
    unknown = producers(pipeline, task) - set(pipeline.tasks)
    if unknown:
        raise RejectedError(f"task '{task}': unknown producer task {sorted(unknown)}")
    kind = pipeline.deployment.executors[pipeline.component(task).executor_label].WhichOneof("spec")
    if kind != "container":
        raise RejectedError(f"task '{task}': {kind}: non-container executor not implemented")
    if not pipeline.container(task).command:
        raise RejectedError(f"task '{task}': no command; an image's own entry point is not used")
    for name, source in spec.inputs.parameters.items():
        parent = source.component_input_parameter
        if parent and parent not in pipeline.spec.root.input_definitions.parameters:
            raise RejectedError(f"task '{task}': no root parameter is called '{parent}' ({name})")


def check_parameters(
    pipeline: UploadedPipeline, given: dict[str, Any]
) -> dict[str, struct_pb2.Value]:
    """Check a run's parameters and fill in defaults, as validatePipelineJobInputs does."""
    wanted = pipeline.spec.root.input_definitions.parameters
    extra = set(given) - set(wanted)
    if extra:
        raise RejectedError(f"parameter(s) provided are not required by pipeline: {sorted(extra)}")
    values: dict[str, struct_pb2.Value] = {}
    for name, spec in wanted.items():
        if name in given:
            values[name] = json_format.ParseDict(given[name], struct_pb2.Value())
        elif spec.HasField("default_value"):
            values[name] = spec.default_value
        elif not spec.is_optional:
            raise RejectedError(f"parameter {name} is not optional, yet has neither value")
        if name in values and values[name].WhichOneof("kind") != _KINDS[spec.parameter_type]:
            kind = ParameterType.ParameterTypeEnum.Name(spec.parameter_type)
            raise RejectedError(f"input parameter {name} requires type {kind}")
    return values
