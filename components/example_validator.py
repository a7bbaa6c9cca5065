"""ExampleValidator: what is wrong with the data, in words, and whether to go on."""

import dataclasses
import json
import logging
import re
from dataclasses import dataclass
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
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
from components.statistics_gen import WHOLE_SLICE, select_slice, span_slice, spans_of
from configs.errors import DataError
from configs.load import from_json, part_to_json
from configs.types import ValidationConfig
from data.places import place_of
from schema.features import STATISTICS_FEATURES, Split
from schema.labels import SCHEMA_FILENAME, read_schema

logger = logging.getLogger("loupe.example_validator")

ANOMALIES_FILENAME = "anomalies.json"
_AnomalyInfo = anomalies_pb2.AnomalyInfo
_PAIR = re.compile(" between (training and serving|current and previous( span)?)")
"""TFDV's names for what `where` already says in ours."""
_DRIFT_TYPES = {
    _AnomalyInfo.COMPARATOR_L_INFTY_HIGH,
    _AnomalyInfo.COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH,
    _AnomalyInfo.COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH,
}


@dataclass(frozen=True)
class Anomaly:
    """Something about the data that the schema does not allow.

    Attributes:
        where: what was looked at, such as `train` or `span 3 against span 2`.
        feature: name of the feature.
        kind: TFDV's name of the anomaly.
        message: what is wrong, in words.
        is_severe: whether it ends the run.
    """

    where: str
    feature: str
    kind: str
    message: str
    is_severe: bool


class Executor(base_executor.BaseExecutor):
    """Holds the statistics against the schema, the previous span and each other."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Validate the data of this run.

        Args:
            input_dict: `statistics` and `schema`.
            output_dict: `anomalies`.
            exec_properties: `config`, the JSON of a ValidationConfig.

        Raises:
            DataError: a severe anomaly.
        """
        artifact = artifact_utils.get_single_instance(
            input_dict[standard_component_specs.STATISTICS_KEY]
        )
        statistics = {
            split: stats_artifact_utils.load_statistics(artifact, split).proto()
            for split in artifact_utils.decode_split_names(artifact.split_names)
        }
        schema_uri = artifact_utils.get_single_uri(input_dict[standard_component_specs.SCHEMA_KEY])
        schema = read_schema(place_of(schema_uri) / SCHEMA_FILENAME)
        config = from_json(ValidationConfig, exec_properties["config"])
        anomalies = find_anomalies(statistics, schema, config.stop_on_drift)
        output = artifact_utils.get_single_instance(output_dict["anomalies"])
        path = place_of(output.uri) / ANOMALIES_FILENAME
        path.write_text(
            json.dumps([dataclasses.asdict(anomaly) for anomaly in anomalies], indent=1)
        )
        for anomaly in anomalies:
            logger.warning("%s: %s: %s", anomaly.where, anomaly.feature, anomaly.message)
        _stop_when_severe(anomalies)


def find_anomalies(
    statistics: dict[str, statistics_pb2.DatasetFeatureStatisticsList],
    schema: schema_pb2.Schema,
    stop_on_drift: bool,
) -> list[Anomaly]:
    """Compare statistics with the schema, between spans and between splits.

    Args:
        statistics: sliced statistics by split name.
        schema: what is allowed.
        stop_on_drift: whether a moved distribution is severe.

    Returns:
        Every anomaly, once.
    """
    found: list[Anomaly] = []
    schema = _without_unmeasured(schema)
    train = statistics[Split.TRAIN]
    for split, split_statistics in statistics.items():
        whole = select_slice(split_statistics, WHOLE_SLICE)
        found += _words(tfdv.validate_statistics(whole, schema), split, stop_on_drift)
    schema_violations = {anomaly.feature for anomaly in found}
    comparisons: list[tuple[str, Any]] = []
    spans = spans_of(statistics.values())
    if len(spans) > 1:
        newest = select_slice(train, span_slice(spans[-1]))
        previous = select_slice(train, span_slice(spans[-2]))
        if newest is not None and previous is not None:
            name = f"span {spans[-1]} against span {spans[-2]}"
            comparisons.append((
                name,
                tfdv.validate_statistics(newest, schema, previous_statistics=previous),
            ))
    for split in statistics:
        if split != Split.TRAIN:
            comparisons.append((
                f"{split} against train",
                tfdv.validate_statistics(
                    select_slice(train, WHOLE_SLICE),
                    schema,
                    serving_statistics=select_slice(statistics[split], WHOLE_SLICE),
                ),
            ))
    for name, result in comparisons:
        found += [
            anomaly
            for anomaly in _words(result, name, stop_on_drift)
            if anomaly.feature not in schema_violations
        ]
    return found


def _without_unmeasured(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    # Image bytes have no statistics, which TFDV would call a missing column.
    measured = schema_pb2.Schema()
    measured.CopyFrom(schema)
    del measured.feature[:]
    measured.feature.extend(f for f in schema.feature if f.name in STATISTICS_FEATURES)
    return measured


def _words(result: anomalies_pb2.Anomalies, where: str, stop_on_drift: bool) -> list[Anomaly]:
    return [
        Anomaly(
            where=where,
            feature=name,
            kind=_AnomalyInfo.Type.Name(reason.type),
            message=_PAIR.sub("", reason.description),
            is_severe=stop_on_drift or reason.type not in _DRIFT_TYPES,
        )
        for name, info in sorted(result.anomaly_info.items())
        for reason in info.reason
    ]


def _stop_when_severe(anomalies: list[Anomaly]) -> None:
    severe = [anomaly for anomaly in anomalies if anomaly.is_severe]
    if not severe:
        return
    lines = "; ".join(f"{a.where}: {a.feature}: {a.message}" for a in severe)
    raise DataError(
        f"the data breaks its schema ({len(severe)} severe): {lines} "
        "Mend the data; or, when it is right, edit the curated schema, or remove it, run again and "
        "freeze the new one (`loupe schema freeze`).",
        facts={"anomalies": [dataclasses.asdict(anomaly) for anomaly in anomalies]},
    )


class ExampleValidatorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of ExampleValidator."""

    PARAMETERS = {  # noqa: RUF012 (TFX reads this name)
        "config": component_spec.ExecutionParameter(type=str),
        "code_version": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {  # noqa: RUF012
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies)
    }


class ExampleValidator(base_component.BaseComponent):
    """Validates the data of a run; TFX's own neither compares spans nor stops."""

    SPEC_CLASS = ExampleValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)


def build_example_validator(
    config: ValidationConfig, *, statistics: BaseChannel, schema: BaseChannel
) -> ExampleValidator:
    """Build the stage that looks for anomalies.

    Args:
        config: what stops a run.
        statistics: statistics of the raw examples.
        schema: what is allowed.

    Returns:
        The ExampleValidator node; output `anomalies`.
    """
    spec = ExampleValidatorSpec(
        config=part_to_json(config),
        code_version=code_version(["components/example_validator.py"]),
        statistics=statistics,
        schema=schema,
        anomalies=Channel(type=standard_artifacts.ExampleAnomalies),
    )
    return ExampleValidator(spec=spec)
