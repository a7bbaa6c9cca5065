"""The Pusher node."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_artifacts

from components.code_version import code_version
from components.pusher.executor import Executor


class ImagePusherSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of ImagePusher."""

    PARAMETERS = {  # noqa: RUF012 (TFX reads this name)
        "folder": component_spec.ExecutionParameter(type=str),
        "model_name": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }
    OUTPUTS = {  # noqa: RUF012
        "pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)
    }


class ImagePusher(base_component.BaseComponent):
    """Pushes a blessed model; TFX's own copies file by file into the final folder."""

    SPEC_CLASS = ImagePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def build_pusher(folder: str, model_name: str, **inputs: BaseChannel) -> ImagePusher:
    """Build the stage that makes a model servable.

    Args:
        folder: folder of the version folders, local or a URL that TFX can write.
        model_name: name under which the model is served.
        **inputs: every channel of ImagePusherSpec's inputs.

    Returns:
        The Pusher node; output `pushed_model`.
    """
    spec = ImagePusherSpec(
        folder=folder,
        model_name=model_name,
        code_version=code_version(["components/pusher"]),
        pushed_model=Channel(type=standard_artifacts.PushedModel),
        **inputs,
    )
    return ImagePusher(spec=spec).with_id("Pusher")
