"""The InfraValidator node."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_artifacts

from components.code_version import code_version
from components.infra_validator.executor import Executor
from configs.load import part_to_json
from configs.types import InfraConfig


class ImageInfraValidatorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of ImageInfraValidator."""

    PARAMETERS = {  # noqa: RUF012 (TFX reads this name)
        "config": component_spec.ExecutionParameter(type=str),
        "model_name": component_spec.ExecutionParameter(type=str),
        "stop_when_refused": component_spec.ExecutionParameter(type=int),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = {  # noqa: RUF012
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)
    }


class ImageInfraValidator(base_component.BaseComponent):
    """Serves the candidate before anybody else does; needs neither Docker nor a cluster."""

    SPEC_CLASS = ImageInfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def build_infra_validator(
    config: InfraConfig,
    model_name: str,
    *,
    stop_when_refused: bool,
    model: BaseChannel,
    examples: BaseChannel,
) -> ImageInfraValidator:
    """Build the stage that serves the candidate.

    Args:
        config: where and how it is served.
        model_name: name under which it is served.
        stop_when_refused: a refusal ends the run. For runners whose cache would give it again,
            although it may have been the machine's fault.
        model: the candidate.
        examples: raw examples to ask about.

    Returns:
        The InfraValidator node; output `blessing`, with the warm-up requests inside.
    """
    spec = ImageInfraValidatorSpec(
        config=part_to_json(config),
        model_name=model_name,
        stop_when_refused=int(stop_when_refused),
        code_version=code_version([
            "components/infra_validator",
            "serving/model_server",
            "serving/protos.py",
        ]),
        model=model,
        examples=examples,
        blessing=Channel(type=standard_artifacts.InfraBlessing),
    )
    return ImageInfraValidator(spec=spec).with_id("InfraValidator")
