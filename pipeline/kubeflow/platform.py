"""The second document of a compiled pipeline: what only Kubernetes knows, per executor."""

from collections.abc import Iterable
from typing import Any

from configs.kubeflow import KubeflowConfig, StageConfig, Volume
from pipeline.kubeflow.spec import EXECUTOR_SUFFIX

STAGES_WITH_DATA = ("ExampleGen",)
STAGES_WITH_MODELS = ("LastBlessedVersion", "LastBlessedModel", "Pusher", "Promote")
SHARED_MEMORY_VOLUME = "shared-memory"
SHARED_MEMORY_PATH = "/dev/shm"  # noqa: S108 (where Linux has it)


def platform_document(config: KubeflowConfig, stages: Iterable[str]) -> dict[str, Any]:
    """Write the platform document.

    Args:
        config: the Kubeflow settings.
        stages: names of the tasks that run in containers.

    Returns:
        The document as JSON values; executors that need nothing are left out.
    """
    executors = {
        f"{name}{EXECUTOR_SUFFIX}": executor
        for name in stages
        if (executor := _executor(config, name))
    }
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _executor(config: KubeflowConfig, name: str) -> dict[str, Any]:
    stage = config.stage(name)
    metadata = {"labels": stage.labels, "annotations": stage.annotations}
    fields: dict[str, Any] = {
        "nodeSelector": {"labels": stage.node_selector} if stage.node_selector else {},
        "tolerations": [_toleration(stage, index) for index in range(len(stage.tolerations))],
        "secretAsEnv": _secrets(stage),
        "pvcMount": [_volume(volume) for volume in _volumes(config, name, stage)],
        "podMetadata": {key: value for key, value in metadata.items() if value},
        "imagePullSecret": [
            {"secretNameParameter": _constant(secret)} for secret in stage.image_pull_secrets
        ],
        "emptyDirMounts": _shared_memory(stage),
        "activeDeadlineSeconds": str(stage.timeout_seconds) if stage.timeout_seconds else "",
    }
    return {key: value for key, value in fields.items() if value}


def _volumes(config: KubeflowConfig, name: str, stage: StageConfig) -> list[Volume]:
    volumes = list(stage.volumes)
    if name in STAGES_WITH_DATA and config.data.claim:
        volumes.append(config.data)
    if name in STAGES_WITH_MODELS and config.models.claim:
        volumes.append(config.models)
    return volumes


def _volume(volume: Volume) -> dict[str, Any]:
    return {"mountPath": volume.path, "pvcNameParameter": _constant(volume.claim)}


def _shared_memory(stage: StageConfig) -> list[dict[str, Any]]:
    # There is a field enabledSharedMemory too, which no driver up to 2.17 reads.
    mount = {
        "volumeName": SHARED_MEMORY_VOLUME,
        "mountPath": SHARED_MEMORY_PATH,
        "medium": "Memory",
        "sizeLimit": stage.shared_memory,
    }
    return [mount] if stage.shared_memory else []


def _secrets(stage: StageConfig) -> list[dict[str, Any]]:
    by_secret: dict[str, list[dict[str, str]]] = {}
    for each in stage.secrets:
        by_secret.setdefault(each.secret, []).append({
            "secretKey": each.key,
            "envVar": each.variable,
        })
    return [
        {"secretNameParameter": _constant(secret), "keyToEnv": keys}
        for secret, keys in sorted(by_secret.items())
    ]


def _toleration(stage: StageConfig, index: int) -> dict[str, str]:
    toleration = stage.tolerations[index]
    fields = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    return {key: value for key, value in fields.items() if value}


def _constant(value: str) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}
