"""Completes the pipeline spec that TFX compiles with what TFX does not write."""

from collections.abc import Mapping
from typing import Any

from configs.kubeflow import NEVER_CACHED, KubeflowConfig, StageConfig
from pipeline.kubeflow.parameters import RunParameter

EXECUTOR_SUFFIX = "_executor"
"""TFX's name of a task's executor; the platform document uses it too."""
DEFAULT_MAX_RETRIES = 2
DEFAULT_RETRY_WAIT_SECONDS = 30
DEFAULT_RETRY_WAIT_FACTOR = 2
DEFAULT_RETRY_WITHIN_SECONDS = 7 * 86_400
DEFAULT_GPU_RESOURCE = "nvidia.com/gpu"
_BROKEN_PRODUCER_SUFFIX = "_task"


def complete_spec(
    spec: dict[str, Any],
    config: KubeflowConfig,
    parameters: Mapping[str, RunParameter],
) -> None:
    """Add images, resources, retries, caching, environment and the defaults of parameters.

    Args:
        spec: pipeline spec as JSON values; changed in place.
        config: the Kubeflow settings.
        parameters: parameters of a run, by name.
    """
    _set_defaults(spec["root"], parameters)
    tasks = spec["root"]["dag"]["tasks"]
    for name, task in tasks.items():
        _mend_producers(task, tasks)
        stage = config.stage(name)
        task["retryPolicy"] = _retry_policy(stage)
        if stage.cache == "off" or name in NEVER_CACHED:
            task.pop("cachingOptions", None)
        elif stage.cache == "on":
            task["cachingOptions"] = {"enableCache": True}
        executor = spec["deploymentSpec"]["executors"].get(name + EXECUTOR_SUFFIX, {})
        if container := executor.get("container"):
            _complete_container(container, stage)


def _set_defaults(root: dict[str, Any], parameters: Mapping[str, RunParameter]) -> None:
    # TFX writes only the type of a parameter.
    for name, definition in root.get("inputDefinitions", {}).get("parameters", {}).items():
        if (parameter := parameters.get(name)) is None:
            continue  # the linter says so
        definition["description"] = parameter.description
        if parameter.default is not None:
            definition["defaultValue"] = parameter.default


def _mend_producers(task: dict[str, Any], tasks: Mapping[str, Any]) -> None:
    # TFX writes the name of a task that makes a parameter with an ending that no task has.
    for source in task.get("inputs", {}).get("parameters", {}).values():
        if output := source.get("taskOutputParameter"):
            producer = output["producerTask"]
            if producer not in tasks:
                output["producerTask"] = producer.removesuffix(_BROKEN_PRODUCER_SUFFIX)


def _retry_policy(stage: StageConfig) -> dict[str, Any]:
    def chosen(value: int | None, default: int) -> int:
        return default if value is None else value

    wait = chosen(stage.retry_wait_seconds, DEFAULT_RETRY_WAIT_SECONDS)
    within = chosen(stage.retry_within_seconds, DEFAULT_RETRY_WITHIN_SECONDS)
    return {
        "maxRetryCount": chosen(stage.max_retries, DEFAULT_MAX_RETRIES),
        "backoffDuration": f"{wait}s",
        "backoffFactor": chosen(stage.retry_wait_factor, DEFAULT_RETRY_WAIT_FACTOR),
        "backoffMaxDuration": f"{within}s",
    }


def _complete_container(container: dict[str, Any], stage: StageConfig) -> None:
    if stage.image:
        container["image"] = stage.image
    quantities = {
        "resourceCpuLimit": stage.cpu,
        "resourceMemoryLimit": stage.memory,
        "resourceCpuRequest": stage.cpu_request or stage.cpu,
        "resourceMemoryRequest": stage.memory_request or stage.memory,
    }
    resources: dict[str, Any] = {name: value for name, value in quantities.items() if value}
    if stage.gpus:
        resources["accelerator"] = {
            "resourceType": stage.gpu_resource or DEFAULT_GPU_RESOURCE,
            "resourceCount": str(stage.gpus),
        }
    if resources:
        container["resources"] = resources
    if stage.environment:
        container["env"] = [
            {"name": name, "value": value} for name, value in sorted(stage.environment.items())
        ]
