"""Transform: raw examples to pixels and label ids, through `transform.preprocessing`."""

import json
from pathlib import Path
from typing import Any

from tfx.components import Transform
from tfx.components.transform import executor as tfx_executor
from tfx.dsl.components.base import executor_spec
from tfx.proto import transform_pb2
from tfx.types import BaseChannel, artifact_utils, standard_component_specs

from components.code_version import code_version
from configs.types import TransformConfig
from schema.features import Split
from schema.labels import SCHEMA_FILENAME, labels_of_schema, read_schema


class Executor(tfx_executor.Executor):
    """TFX's Transform, told the order of the labels by the schema of this run."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Transform the examples.

        Args:
            input_dict: `examples` and `schema`.
            output_dict: `transform_graph` and `transformed_examples`.
            exec_properties: TFX's, with `custom_config` as `build_transform` makes it.
        """
        schema_uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        labels = labels_of_schema(read_schema(Path(schema_uri) / SCHEMA_FILENAME))
        custom_config = json.loads(exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY])
        exec_properties = {
            **exec_properties,
            standard_component_specs.CUSTOM_CONFIG_KEY: json.dumps({
                **custom_config,
                "labels": labels,
            }),
        }
        super().Do(input_dict, output_dict, exec_properties)


class ImageTransform(Transform):
    """Transform with an executor that knows the labels."""

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
    return ImageTransform(
        examples=examples,
        schema=schema,
        preprocessing_fn="transform.preprocessing.preprocessing_fn",
        splits_config=transform_pb2.SplitsConfig(
            analyze=[Split.TRAIN], transform=[Split.TRAIN, Split.VALIDATION]
        ),
        custom_config={
            "height_pixels": config.height_pixels,
            "width_pixels": config.width_pixels,
            "code_version": code_version(["transform", "components/transform.py"]),
        },
        disable_statistics=True,
        disable_analyzer_cache=True,
    ).with_id("Transform")
