"""ImageExampleGen, and how the pipeline builds it."""

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import Channel, component_spec, standard_artifacts

from components.beam_args import worker_imports
from components.code_version import code_version
from components.example_gen.executor import Executor
from configs.load import part_to_json
from configs.types import DataConfig


class ImageExampleGenSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of ImageExampleGen."""

    PARAMETERS = {  # noqa: RUF012 (TFX reads this name)
        "data_root": component_spec.ExecutionParameter(type=str),
        "data_version": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
        "config": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)
    }


class ImageExampleGen(base_beam_component.BaseBeamComponent):
    """Reads a folder of labelled images into raw examples.

    Not a FileBasedExampleGen, whose driver Kubeflow ignores: new data behind the same path is seen
    because its fingerprint is a parameter.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)


def build_example_gen(
    config: DataConfig, *, data_root: str | RuntimeParameter, data_version: str | RuntimeParameter
) -> ImageExampleGen:
    """Build the stage that reads images.

    Args:
        config: the data settings.
        data_root: folder or manifest of the data set, or the parameter that names it.
        data_version: fingerprint of the data, so that new data is not answered from cache, or the
            parameter that holds it.

    Returns:
        The ExampleGen node; output `examples`.
    """
    spec = ImageExampleGenSpec(
        data_root=data_root,
        data_version=data_version,
        code_version=code_version(["components/example_gen", "data", "schema", "transform"]),
        config=part_to_json(config),
        examples=Channel(type=standard_artifacts.Examples),
    )
    example_gen = ImageExampleGen(spec=spec).with_id("ExampleGen")
    example_gen.with_beam_pipeline_args(worker_imports("components.example_gen.reader"))
    return example_gen
