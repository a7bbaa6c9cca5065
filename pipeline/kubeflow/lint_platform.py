"""Rules about the platform document, whose inside no SDK checks."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.kubeflow.findings import Finding
from pipeline.kubeflow.spec import EXECUTOR_SUFFIX

_TEXT: Any = str
_NUMBER: Any = (int, str)
_CONSTANT: Any = {"runtimeValue": {"constant": _TEXT}}
_TEXTS: Any = dict
FIELDS: Mapping[str, Any] = {
    "nodeSelector": {"labels": _TEXTS},
    "tolerations": [
        {
            "key": _TEXT,
            "operator": _TEXT,
            "value": _TEXT,
            "effect": _TEXT,
            "tolerationSeconds": _NUMBER,
        }
    ],
    "secretAsEnv": [
        {
            "secretNameParameter": _CONSTANT,
            "keyToEnv": [{"secretKey": _TEXT, "envVar": _TEXT}],
            "optional": bool,
        }
    ],
    "secretAsVolume": [{"secretNameParameter": _CONSTANT, "mountPath": _TEXT, "optional": bool}],
    "pvcMount": [{"mountPath": _TEXT, "pvcNameParameter": _CONSTANT}],
    "podMetadata": {"labels": _TEXTS, "annotations": _TEXTS},
    "imagePullSecret": [{"secretNameParameter": _CONSTANT}],
    "imagePullPolicy": _TEXT,
    "emptyDirMounts": [
        {"volumeName": _TEXT, "mountPath": _TEXT, "medium": _TEXT, "sizeLimit": _TEXT}
    ],
    "activeDeadlineSeconds": _NUMBER,
}
"""Fields of KubernetesExecutorConfig that drivers from 2.5 on read, and their values."""
SHARED_MEMORY_FIELD = "enabledSharedMemory"
"""Servers know it, and no driver up to 2.17 reads it: /dev/shm keeps its 64 MB."""
_VOLUME_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def find_in_platform(spec: Mapping[str, Any], platform: Mapping[str, Any]) -> Iterator[Finding]:
    """Check the platform document.

    Args:
        spec: the pipeline spec.
        platform: the platform document.

    Yields:
        What the driver would refuse or never look at.
    """
    kubernetes = platform.get("platforms", {}).get("kubernetes")
    if set(platform) != {"platforms"} or kubernetes is None:
        yield Finding(
            "PLATFORM",
            "platform document",
            f"it holds {sorted(platform)}, expected platforms.kubernetes",
            "Make it with pipeline.kubeflow.platform.platform_document",
        )
        return
    executors = spec.get("deploymentSpec", {}).get("executors", {})
    for label, fields in kubernetes.get("deploymentSpec", {}).get("executors", {}).items():
        if "container" not in executors.get(label, {}):
            yield Finding(
                "PLATFORM",
                f"executor '{label}'",
                "no container runs under this name, so nobody would read it",
                f"Name a task and append '{EXECUTOR_SUFFIX}'",
            )
        if SHARED_MEMORY_FIELD in fields:
            yield Finding(
                "SHM",
                f"executor '{label}': {SHARED_MEMORY_FIELD}",
                "no driver reads it, so that the pod gets 64 MB",
                f"Set kubeflow.stages.{label.removesuffix(EXECUTOR_SUFFIX)}.shared_memory",
            )
        known = {key: value for key, value in fields.items() if key != SHARED_MEMORY_FIELD}
        yield from _find_in_fields(f"executor '{label}'", known, FIELDS)
        yield from _find_in_mounts(f"executor '{label}'", known)


def _find_in_fields(where: str, value: Any, expected: Any) -> Iterator[Finding]:
    if isinstance(expected, list) and isinstance(value, list):
        for each in value:
            yield from _find_in_fields(where, each, expected[0])
    elif isinstance(expected, Mapping) and isinstance(value, Mapping):
        for key, each in value.items():
            if key in expected:
                yield from _find_in_fields(f"{where}: {key}", each, expected[key])
            else:
                yield Finding(
                    "PLATFORM",
                    f"{where}: {key}",
                    "no such field, and the driver reads strictly",
                    f"Use one of {', '.join(expected)}",
                )
    elif not _is_value(value, expected):
        yield Finding("PLATFORM", where, f"it is {value!r}, of another kind", "Change its kind")


def _is_value(value: Any, expected: Any) -> bool:
    if isinstance(expected, list | Mapping):
        return False
    if expected is _TEXTS:
        return isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))


def _find_in_mounts(where: str, fields: Mapping[str, Any]) -> Iterator[Finding]:
    claim_mounts, others = fields.get("pvcMount", []), fields.get("emptyDirMounts", [])
    claims = [
        str(mount.get("pvcNameParameter", {}).get("runtimeValue", {}).get("constant", ""))
        for mount in claim_mounts
    ]
    for claim in claims:
        if not _VOLUME_NAME.fullmatch(claim):
            yield Finding(
                "PVC",
                where,
                f"the claim '{claim}' becomes the name of a volume, which takes up to 63 lower "
                "case letters, digits and '-'",
                "Use a claim of such a name",
            )
    volumes = [*claims, *(str(mount.get("volumeName", "")) for mount in others)]
    paths = [str(mount.get("mountPath", "")) for mount in (*claim_mounts, *others)]
    for kind, names in (("volume", volumes), ("path", paths)):
        for name, count in Counter(names).items():
            if count > 1:
                yield Finding(
                    "PVC",
                    where,
                    f"the {kind} '{name}' is mounted {count} times, which Kubernetes refuses",
                    "Mount it once, or give a claim another name",
                )
