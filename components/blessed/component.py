"""The nodes that find and note the last blessed model."""

from typing import Any

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_artifacts

from components.baseline import Baseline
from components.blessed.executors import (
    LastBlessedModelExecutor,
    LastBlessedVersionExecutor,
    PromoteExecutor,
)
from components.code_version import code_version

_SOURCES = ["components/blessed", "components/pusher"]


class LastBlessedVersionSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of LastBlessedVersion."""

    PARAMETERS = {  # noqa: RUF012 (TFX reads this name)
        "folder": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model)
    }
    OUTPUTS = {  # noqa: RUF012
        "version": component_spec.ChannelParameter(type=standard_artifacts.String)
    }


class LastBlessedVersion(base_component.BaseComponent):
    """Says which version is the baseline; never cached, since models may have come and gone."""

    SPEC_CLASS = LastBlessedVersionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(LastBlessedVersionExecutor)


class LastBlessedModelSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of LastBlessedModel."""

    PARAMETERS = {  # noqa: RUF012
        "folder": component_spec.ExecutionParameter(type=str),
        "version": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model)
    }


class LastBlessedModel(base_component.BaseComponent):
    """Fetches the baseline; cached by its version, so that the Evaluator can be cached too."""

    SPEC_CLASS = LastBlessedModelSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(LastBlessedModelExecutor)


class PromoteSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of Promote."""

    PARAMETERS = {  # noqa: RUF012
        "folder": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {}  # noqa: RUF012


class Promote(base_component.BaseComponent):
    """Notes what was pushed as the next run's baseline; never cached."""

    SPEC_CLASS = PromoteSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(PromoteExecutor)


def build_blessed_baseline(folder: str, *, candidate: BaseChannel) -> Baseline:
    """Build what finds the baseline without ML Metadata.

    Args:
        folder: folder of the version folders, local or a URL that TFX can read.
        candidate: the model that was just trained.

    Returns:
        The baseline; nothing is in its artifact when no other model was ever blessed.
    """
    finder = LastBlessedVersion(
        spec=LastBlessedVersionSpec(
            folder=folder,
            code_version=code_version(_SOURCES),
            model=candidate,
            version=Channel(type=standard_artifacts.String),
        )
    )
    version: Any = finder.outputs["version"]
    fetcher = LastBlessedModel(
        spec=LastBlessedModelSpec(
            folder=folder,
            version=version.future()[0].value,
            code_version=code_version(_SOURCES),
            model=Channel(type=standard_artifacts.Model),
        )
    )
    fetcher.add_upstream_node(finder)
    return Baseline(model=fetcher.outputs["model"], nodes=(finder, fetcher))


def build_promotion(folder: str, *, model: BaseChannel, pushed_model: BaseChannel) -> Promote:
    """Build the node that notes the last blessed model.

    Args:
        folder: folder of the version folders, local or a URL that TFX can write.
        model: the candidate.
        pushed_model: what the Pusher made of it.

    Returns:
        The Promote node.
    """
    spec = PromoteSpec(
        folder=folder,
        code_version=code_version(_SOURCES),
        pushed_model=pushed_model,
        model=model,
    )
    return Promote(spec=spec)
