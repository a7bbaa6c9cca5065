"""The Transform node."""

from tfx.components import Transform
from tfx.dsl.components.base import executor_spec
from tfx.proto import transform_pb2
from tfx.types import BaseChannel

from components.beam_args import worker_imports
from components.code_version import code_version
from components.transform.executor import Executor
from configs.types import TransformConfig
from schema.features import Split


class ImageTransform(Transform):
    """Transform with an executor that knows the labels and writes what images need."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)


def build_transform(
    config: TransformConfig, *, examples: BaseChannel, schema: BaseChannel
) -> ImageTransform:
    """Build the stage that makes pixels.

    Args:
        config: size of the pixels.
        examples: raw examples.
        schema: schema whose label domain gives the ids.

    Returns:
        The Transform node; outputs `transform_graph` and `transformed_examples` (train and
        validation; the test split is only ever read raw, as serving would).
    """
    transform = ImageTransform(
        examples=examples,
        schema=schema,
        preprocessing_fn="transform.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(
            analyze=[Split.TRAIN], transform=[Split.TRAIN, Split.VALIDATION]
        ),
        custom_config={
            "height_pixels": config.height_pixels,
            "width_pixels": config.width_pixels,
            "code_version": code_version(["transform", "components/transform"]),
        },
        disable_statistics=True,
        disable_analyzer_cache=True,
    ).with_id("Transform")
    transform.with_beam_pipeline_args(worker_imports("components.transform.materialize"))
    return transform
