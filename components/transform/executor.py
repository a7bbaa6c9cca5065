"""TFX's Transform for the graph; what the graph makes of the examples is written here."""

import json
import logging
from typing import Any

from tfx.components.transform import executor as tfx_executor
from tfx.components.transform import executor_utils
from tfx.types import artifact_utils, standard_component_specs

from components.transform.materialize import count_transformed, write_transformed_split
from data.places import place_of
from schema.labels import SCHEMA_FILENAME, labels_of_schema, read_schema

logger = logging.getLogger("loupe.transform")


class Executor(tfx_executor.Executor):
    """Makes the graph with the order of the labels that the schema of this run gives.

    There are no analyzers, so TFX makes the graph without reading data. It would write the
    transformed examples compressed, which takes as long as decoding the images and saves 15 %.
    """

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Make the graph, and apply it to the examples.

        Args:
            input_dict: `examples` and `schema`.
            output_dict: `transform_graph` and `transformed_examples`.
            exec_properties: TFX's, with `custom_config` as `build_transform` makes it.
        """
        rest = dict(output_dict)
        (transformed,) = rest.pop(standard_component_specs.TRANSFORMED_EXAMPLES_KEY)
        super().Do(input_dict, rest, _with_labels(input_dict, exec_properties))
        examples = input_dict[standard_component_specs.EXAMPLES_KEY]
        splits_config = executor_utils.ResolveSplitsConfig(
            exec_properties[standard_component_specs.SPLITS_CONFIG_KEY], examples
        )
        splits = list(splits_config.transform)
        transformed.split_names = artifact_utils.encode_split_names(splits)
        graph_uri = artifact_utils.get_single_uri(
            output_dict[standard_component_specs.TRANSFORM_GRAPH_KEY]
        )
        with self._make_beam_pipeline() as pipeline:
            for split in splits:
                write_transformed_split(
                    pipeline,
                    graph_uri,
                    artifact_utils.get_split_uri(examples, split),
                    artifact_utils.get_split_uri([transformed], split),
                )
        logger.info("transformed %d images", count_transformed(pipeline))


def _with_labels(
    input_dict: dict[str, list[Any]], exec_properties: dict[str, Any]
) -> dict[str, Any]:
    schema_uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
    labels = labels_of_schema(read_schema(place_of(schema_uri) / SCHEMA_FILENAME))
    key = standard_component_specs.CUSTOM_CONFIG_KEY
    return {
        **exec_properties,
        key: json.dumps({**json.loads(exec_properties[key]), "labels": labels}),
    }
