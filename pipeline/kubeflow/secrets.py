"""Looks for secrets in what everybody who may see a pipeline can read."""

from collections.abc import Iterator
from typing import Any

from configs.secrecy import is_secret_name, secret_kind
from pipeline.kubeflow.findings import Finding

_FIX = (
    "Put the value into a Kubernetes secret and name that under kubeflow.stages.<stage>.secrets "
    "or kubeflow.every_stage.secrets"
)


def find_secrets(value: Any, where: str = "") -> Iterator[Finding]:
    """Look through JSON values for what looks like a secret.

    Args:
        value: anything that JSON can hold.
        where: path of the value.

    Yields:
        A finding for each; none repeats the secret.
    """
    if isinstance(value, dict):
        name: Any = value.get("name")
        if isinstance(name, str) and value.get("value") and is_secret_name(name):
            yield Finding("SECRET", f"{where}.{name}", "its name is that of a secret", _FIX)
        for key, each in value.items():
            yield from find_secrets(each, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from find_secrets(each, f"{where}[{index}]")
    elif isinstance(value, str) and (kind := secret_kind(value)):
        yield Finding("SECRET", where, f"it looks like {kind}", _FIX)
