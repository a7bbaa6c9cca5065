"""Rules about tasks: their names, order, parameters and caching."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from configs.kubeflow import NEVER_CACHED
from pipeline.kubeflow.findings import Finding
from pipeline.kubeflow.spec import EXECUTOR_SUFFIX

MAX_NAME_LENGTH = 120
"""Argo takes 128; Kubeflow appends `-driver`."""
MAX_ARGUMENT_BYTES = 112 << 10
"""Linux takes 128 KiB in one argument of a process. Driver, launcher and executor each get all
parameters of a task in one, and places of artifacts beside them."""
_TASK_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*")
_PIPELINE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMBER_INTEGER": (int,),
    "NUMBER_DOUBLE": (int, float),
    "BOOLEAN": (bool,),
    "LIST": (list,),
    "STRUCT": (dict,),
}
_PATTERN = re.compile(r"\{(?:SPAN|VERSION|YYYY|MM|DD)(?::\d+)?\}")


def find_dags(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """List the components that hold tasks.

    Args:
        spec: the pipeline spec.

    Yields:
        Name and component: the root, and every group of tasks.
    """
    yield "root", spec.get("root", {})
    for name, component in spec.get("components", {}).items():
        if "dag" in component:
            yield name, component


def _tasks(component: Mapping[str, Any]) -> Mapping[str, Any]:
    return component.get("dag", {}).get("tasks", {})


def find_in_pipeline_name(name: str) -> Iterator[Finding]:
    """Check the name of a pipeline.

    Args:
        name: the name.

    Yields:
        A finding when the server would refuse it.
    """
    if not _PIPELINE_NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        yield Finding(
            "C5",
            "pipeline_name",
            f"'{name}' is no name that the server takes",
            "Use lower case letters, digits and '-' only, a letter or digit first and last",
        )


def find_in_names(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """Check names.

    Args:
        spec: the pipeline spec.

    Yields:
        What Argo would refuse.
    """
    yield from find_in_pipeline_name(spec.get("pipelineInfo", {}).get("name", ""))
    for _, component in find_dags(spec):
        for task in _tasks(component):
            if not _TASK_NAME.fullmatch(task) or len(task) > MAX_NAME_LENGTH:
                yield Finding(
                    "C5",
                    f"task '{task}'",
                    "Argo takes letters, digits and '-' only, a letter first, and at most "
                    f"{MAX_NAME_LENGTH} of them",
                    "Give the node another id: .with_id('CamelCase')",
                )


def find_in_tasks(spec: Mapping[str, Any]) -> Iterator[Finding]:
    """Check how tasks hang together.

    Args:
        spec: the pipeline spec.

    Yields:
        What the compiler of Argo's workflow or the driver would refuse, or would do wrong.
    """
    for _, component in find_dags(spec):
        tasks = _tasks(component)
        for name, task in tasks.items():
            yield from _find_in_producers(name, task, tasks)
            if "condition" in task.get("triggerPolicy", {}):
                yield Finding(
                    "C10",
                    f"task '{name}'",
                    "it has a condition over artifacts, which the driver often cannot evaluate",
                    "Remove Cond(...), and let the executor decide, as the Pusher does",
                )
            if name in NEVER_CACHED and task.get("cachingOptions", {}).get("enableCache"):
                yield Finding(
                    "CACHE",
                    f"task '{name}'",
                    "it is cached, and would give its first answer forever",
                    f"Set kubeflow.stages.{name}.cache=off",
                )
            yield from _find_in_retries(name, task)
            yield from _find_in_size(name, task)


def _find_in_producers(
    name: str, task: Mapping[str, Any], tasks: Mapping[str, Any]
) -> Iterator[Finding]:
    inputs = task.get("inputs", {})
    producers = set(task.get("dependentTasks", []))
    for kind, key in (("artifacts", "taskOutputArtifact"), ("parameters", "taskOutputParameter")):
        for source in inputs.get(kind, {}).values():
            if output := source.get(key):
                producers.add(output.get("producerTask", ""))
    for producer in sorted(producers - set(tasks)):
        yield Finding(
            "C9",
            f"task '{name}'",
            f"it takes something from '{producer}', which is no task",
            "Name an existing task; TFX writes a wrong name for channel.future() parameters, which "
            "pipeline.kubeflow.spec.complete_spec mends",
        )


def _find_in_retries(name: str, task: Mapping[str, Any]) -> Iterator[Finding]:
    factor = task.get("retryPolicy", {}).get("backoffFactor", 1)
    if factor != int(factor):
        yield Finding(
            "RETRY",
            f"task '{name}'",
            f"backoffFactor is {factor}, and Argo reads a whole number",
            "Set retry_wait_factor to 1, 2 or 3",
        )


def _find_in_size(name: str, task: Mapping[str, Any]) -> Iterator[Finding]:
    sizes = {
        key: len(json.dumps(source, ensure_ascii=False).encode())
        for key, source in task.get("inputs", {}).get("parameters", {}).items()
    }
    if (total := sum(sizes.values())) > MAX_ARGUMENT_BYTES:
        largest = max(sizes, key=lambda key: sizes[key])
        yield Finding(
            "SIZE",
            f"task '{name}'",
            f"its parameters have {total} bytes, and Kubeflow hands them to its processes in one "
            f"argument, which holds {MAX_ARGUMENT_BYTES}",
            f"Shorten {largest}; a curated schema of some thousand classes is too long, and "
            "SchemaGen can do without one",
        )


def find_in_parameters(spec: Mapping[str, Any], required: set[str]) -> Iterator[Finding]:
    """Check the parameters of a run and where they are used.

    Args:
        spec: the pipeline spec.
        required: parameters that every run gives.

    Yields:
        What the server or the driver would refuse, or pass on as it stands.
    """
    known = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    for name, definition in known.items():
        yield from _find_in_default(name, definition, is_required=name in required)
    for name in sorted(required - set(known)):
        yield Finding(
            "C8",
            f"parameter '{name}'",
            "every run gives it, and the pipeline has none of that name",
            "Use it in a stage as a RuntimeParameter",
        )
    for label, component in find_dags(spec):
        names = component.get("inputDefinitions", {}).get("parameters", {})
        for task_name, task in _tasks(component).items():
            for key, source in task.get("inputs", {}).get("parameters", {}).items():
                yield from _find_in_source(f"task '{task_name}': {key}", label, source, names)


def _find_in_default(
    name: str, definition: Mapping[str, Any], *, is_required: bool
) -> Iterator[Finding]:
    kind = definition.get("parameterType", "")
    if kind not in _PYTHON_TYPES:
        yield Finding("C1", f"parameter '{name}'", f"its type is '{kind}'", "Compile with spec 2.1")
    elif "defaultValue" in definition:
        value = definition["defaultValue"]
        is_right = isinstance(value, _PYTHON_TYPES[kind])
        if not is_right or (isinstance(value, bool) and kind != "BOOLEAN"):
            yield Finding(
                "C8",
                f"parameter '{name}'",
                f"its default is {value!r}, and its type {kind}",
                "Give it a default of that type",
            )
    elif not is_required and not definition.get("isOptional"):
        yield Finding(
            "C8",
            f"parameter '{name}'",
            "it has no default, so that every run must give it; TFX drops the default of a "
            "RuntimeParameter",
            "List it in pipeline.kubeflow.parameters.run_parameters",
        )


def _find_in_source(
    where: str, label: str, source: Mapping[str, Any], names: Mapping[str, Any]
) -> Iterator[Finding]:
    given = source.get("componentInputParameter")
    if given is not None and given not in names:
        yield Finding(
            "C11",
            where,
            f"it takes the parameter '{given}', which '{label}' does not have",
            "Use runtime parameters or an exit handler, not both",
        )
    constant = source.get("runtimeValue", {}).get("constant")
    if isinstance(constant, str) and _PATTERN.search(constant):
        yield Finding(
            "C6",
            where,
            f"the pattern in '{constant}' reaches the executor as it stands",
            "Let the executor look for spans, as ImageExampleGen does",
        )


def stage_names(spec: Mapping[str, Any]) -> set[str]:
    """Name the tasks that run in containers.

    Args:
        spec: the pipeline spec.

    Returns:
        Names of their executors without TFX's ending.
    """
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    return {
        label.removesuffix(EXECUTOR_SUFFIX)
        for label, executor in executors.items()
        if "container" in executor
    }
