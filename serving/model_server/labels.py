"""Labels: names such as `stable` and `canary` that requests use in place of a version."""

from serving.model_server.config import ModelConfigs
from serving.model_server.errors import Code, ServingError
from serving.model_server.lifecycle import State
from serving.model_server.manager import Manager
from serving.model_server.registry import Registry

Labels = dict[str, dict[str, int]]
"""Model to label to version."""


def check_labels(
    configs: ModelConfigs, manager: Manager, registry: Registry, *, allow_unavailable: bool
) -> Labels:
    """Check that every label of a config names a version that answers.

    Args:
        configs: the models.
        manager: knows the states.
        registry: knows the labels in use.
        allow_unavailable: let a label that is not in use, or stays where it is, name any version.

    Returns:
        The labels, to be set.

    Raises:
        ServingError: FAILED_PRECONDITION; a label names a version that is not AVAILABLE.

    Source: `UpdateModelVersionLabelMap`, tensorflow_serving/model_servers/server_core.cc.
    """
    labels: Labels = {}
    for name, config in configs.items():
        for label, version in config.labels.items():
            current = registry.label_version(name, label)
            is_allowed = allow_unavailable and current in {None, version}
            if not is_allowed and not _is_available(manager, name, version):
                raise ServingError(
                    Code.FAILED_PRECONDITION,
                    f"Request to assign label to version {version} of model {name}, "
                    "which is not currently available for inference",
                )
        labels[name] = dict(config.labels)
    return labels


def _is_available(manager: Manager, name: str, version: int) -> bool:
    try:
        return manager.statuses(name, version)[0].state is State.AVAILABLE
    except ServingError:
        return False
