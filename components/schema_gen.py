"""SchemaGen: a curated schema where there is one, else one inferred from this data."""

from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import (
    BaseChannel,
    Channel,
    artifact_utils,
    component_spec,
    standard_artifacts,
    standard_component_specs,
)

from components.code_version import code_version
from components.statistics_gen import WHOLE_SLICE, select_slice
from configs.load import from_json, part_to_json
from configs.types import ValidationConfig
from data.places import place_of
from schema.features import FLOAT_FEATURES, IMAGE_ENCODED, INT_FEATURES, LABEL, SPAN
from schema.labels import SCHEMA_FILENAME, labels_of_schema, read_schema

MAX_CLASSES = 100_000
"""TFDV's own limit of 100 would leave the label of a large data set without a domain."""


class Executor(base_executor.BaseExecutor):
    """Writes the curated schema, or infers one."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Decide on the schema of this run.

        Args:
            input_dict: `statistics`.
            output_dict: `schema`.
            exec_properties: `curated_schema` (text; empty means infer) and `config`, the JSON of
                a ValidationConfig.

        Raises:
            DataError: the curated schema has no classes.
        """
        text = exec_properties["curated_schema"]
        if text:
            schema = text_format.Parse(text, schema_pb2.Schema())
        else:
            artifact = artifact_utils.get_single_instance(
                input_dict[standard_component_specs.STATISTICS_KEY]
            )
            splits = artifact_utils.decode_split_names(artifact.split_names)
            statistics = [
                stats_artifact_utils.load_statistics(artifact, split).proto() for split in splits
            ]
            config = from_json(ValidationConfig, exec_properties["config"])
            schema = infer_schema(statistics, config)
        labels_of_schema(schema)
        uri = artifact_utils.get_single_uri(output_dict[standard_component_specs.SCHEMA_KEY])
        (place_of(uri) / SCHEMA_FILENAME).write_text(text_format.MessageToString(schema))


def infer_schema(
    statistics: list[statistics_pb2.DatasetFeatureStatisticsList], config: ValidationConfig
) -> schema_pb2.Schema:
    """Infer a schema that later data can be held against.

    Args:
        statistics: sliced statistics, one per split.
        config: how far later data may move.

    Returns:
        A schema with features and classes in sorted order, the range of every scalar with some
        slack, and thresholds for drift (between spans) and skew (between splits).
    """
    schema: Any = None
    for split_statistics in statistics:
        whole = select_slice(split_statistics, WHOLE_SLICE)
        if schema is None:
            schema = tfdv.infer_schema(whole, max_string_domain_size=MAX_CLASSES)
        else:
            schema = tfdv.update_schema(schema, whole, max_string_domain_size=MAX_CLASSES)
    for feature in schema.feature:
        feature.presence.min_fraction = 1.0
        if feature.name == LABEL:
            feature.drift_comparator.infinity_norm.threshold = config.label_drift
            feature.skew_comparator.infinity_norm.threshold = config.label_drift
        elif feature.name in {*INT_FEATURES, *FLOAT_FEATURES} - {SPAN}:
            low, high = _observed_range(feature.name, statistics)
            _limit(feature, low, high, config.range_slack)
        if feature.name in FLOAT_FEATURES:
            # Not the sizes: most images of a set share one, and TFDV's divergence between two
            # histograms of such peaks is high for equal data (0.45 on photos of 224 pixels).
            feature.drift_comparator.jensen_shannon_divergence.threshold = config.numeric_drift
            feature.skew_comparator.jensen_shannon_divergence.threshold = config.numeric_drift
    encoded = schema.feature.add(name=IMAGE_ENCODED, type=schema_pb2.BYTES)
    encoded.presence.min_fraction = 1.0
    encoded.presence.min_count = 1
    encoded.shape.dim.add(size=1)
    _sort(schema)
    return schema


def _sort(schema: Any) -> None:
    # TFDV lists values by frequency, and features in the order in which its workers finished: ids
    # must not depend on how many images a class has, nor Transform's graph on the Beam runner.
    schema.feature.sort(key=lambda feature: feature.name)
    schema.string_domain.sort(key=lambda domain: domain.name)
    for domain in schema.string_domain:
        domain.value.sort()


def _observed_range(
    name: str, statistics: list[statistics_pb2.DatasetFeatureStatisticsList]
) -> tuple[float, float]:
    ranges = [
        (feature.num_stats.min, feature.num_stats.max)
        for split_statistics in statistics
        for dataset in split_statistics.datasets
        if dataset.name == WHOLE_SLICE
        for feature in dataset.features
        if feature.path.step[0] == name
    ]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _limit(feature: Any, low: float, high: float, slack: float) -> None:
    margin = (high - low) * slack
    if feature.type == schema_pb2.INT:
        feature.int_domain.min = max(1, int(low - margin))
        feature.int_domain.max = int(high + margin)
    else:
        feature.float_domain.min = max(0.0, low - margin)
        feature.float_domain.max = high + margin


class SchemaGenSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of SchemaGen."""

    PARAMETERS = {  # noqa: RUF012 (TFX reads this name)
        "curated_schema": component_spec.ExecutionParameter(type=str),
        "config": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)
    }
    OUTPUTS = {  # noqa: RUF012
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)
    }


class SchemaGen(base_component.BaseComponent):
    """Decides on the schema of a run.

    TFX has two components for this, one that infers and one that imports; which of them ran would
    change the graph, and the importer does not see that its file changed.
    """

    SPEC_CLASS = SchemaGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def build_schema_gen(
    config: ValidationConfig, *, curated_schema: Path | None, statistics: BaseChannel
) -> SchemaGen:
    """Build the stage that decides on the schema.

    Args:
        config: how far later data may move.
        curated_schema: the file that rules; None means that the schema is inferred.
        statistics: statistics of the raw examples.

    Returns:
        The SchemaGen node; output `schema`.

    Raises:
        DataError: the curated schema cannot be read or has no classes.
    """
    if curated_schema is not None:
        labels_of_schema(read_schema(curated_schema))
    spec = SchemaGenSpec(
        curated_schema=curated_schema.read_text(encoding="utf-8") if curated_schema else "",
        config=part_to_json(config),
        code_version=code_version(["components/schema_gen.py", "schema"]),
        statistics=statistics,
        schema=Channel(type=standard_artifacts.Schema),
    )
    return SchemaGen(spec=spec)
