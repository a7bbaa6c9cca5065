import pandas as pd
import pytest
import tensorflow_data_validation as tfdv

from components.example_validator import find_anomalies
from components.schema_gen import infer_schema
from components.statistics_gen import WHOLE_SLICE, select_slice, span_slice
from configs.types import ValidationConfig
from schema.labels import labels_of_schema

CONFIG = ValidationConfig()


def frame(labels, brightness=0.5, height=200):
    count = len(labels)
    return pd.DataFrame({
        "label": labels,
        "image/brightness": [brightness + 0.001 * (i % 50) for i in range(count)],
        "image/height": [height + i % 20 for i in range(count)],
    })


def statistics_of(data, **spans):
    result = tfdv.generate_statistics_from_dataframe(data)
    result.datasets[0].name = WHOLE_SLICE
    for name, part in spans.items():
        dataset = tfdv.generate_statistics_from_dataframe(part).datasets[0]
        dataset.name = name
        result.datasets.add().CopyFrom(dataset)
    return result


BALANCED = ["cat", "dog"] * 200


@pytest.fixture(scope="module")
def schema():
    return infer_schema([statistics_of(frame(BALANCED))], CONFIG)


def check(schema, train, test=None, stop_on_drift=False):
    statistics = {"train": train, "test": test or train}
    return find_anomalies(statistics, schema, stop_on_drift)


def test_an_inferred_schema_sorts_its_classes_by_name():
    train = statistics_of(frame(["zebra"] * 30 + ["mole"] * 10))
    test = statistics_of(frame(["zebra"] * 30 + ["ant"] * 3))  # TFDV puts what is new last
    assert labels_of_schema(infer_schema([train, test], CONFIG)) == ["ant", "mole", "zebra"]


def test_an_inferred_schema_does_not_follow_the_order_of_the_statistics():
    data = frame(BALANCED)
    backwards = data[data.columns[::-1]]
    assert list(data.columns) != list(backwards.columns)
    schema = infer_schema([statistics_of(data)], CONFIG)
    assert infer_schema([statistics_of(backwards)], CONFIG) == schema
    names = [feature.name for feature in schema.feature]
    assert names == sorted(names)


def test_an_inferred_schema_knows_classes_of_every_split():
    statistics = [statistics_of(frame(["a", "b"] * 9)), statistics_of(frame(["a", "c"] * 9))]
    assert labels_of_schema(infer_schema(statistics, CONFIG)) == ["a", "b", "c"]


def test_data_like_the_schema_has_no_anomalies(schema):
    assert check(schema, statistics_of(frame(BALANCED))) == []


def test_a_new_class_is_severe_and_named(schema):
    found = check(schema, statistics_of(frame([*BALANCED, "fox"])))
    assert {(a.feature, a.kind) for a in found} == {("label", "ENUM_TYPE_UNEXPECTED_STRING_VALUES")}
    assert all(anomaly.is_severe and "fox" in anomaly.message for anomaly in found)


def test_a_missing_feature_is_severe(schema):
    found = check(schema, statistics_of(frame(BALANCED).drop(columns="image/brightness")))
    assert found[0].feature == "image/brightness"
    assert found[0].is_severe


@pytest.mark.parametrize(
    ("feature", "changes"),
    [("image/brightness", {"brightness": 0.9}), ("image/height", {"height": 900})],
)
def test_a_scalar_out_of_range_is_severe(schema, feature, changes):
    found = check(schema, statistics_of(frame(BALANCED, **changes)))
    assert {anomaly.feature for anomaly in found} == {feature}
    assert all(anomaly.is_severe for anomaly in found)


def test_moved_class_shares_between_spans_are_reported_not_severe(schema):
    moved = frame(["cat"] * 360 + ["dog"] * 40)
    train = statistics_of(frame(BALANCED), **{span_slice(1): frame(BALANCED), span_slice(2): moved})
    (anomaly,) = check(schema, train)
    assert anomaly.where == "span 2 against span 1"
    assert anomaly.feature == "label"
    assert not anomaly.is_severe


def test_drift_is_severe_when_the_settings_say_so(schema):
    test = statistics_of(frame(["cat"] * 360 + ["dog"] * 40))
    (anomaly,) = check(schema, statistics_of(frame(BALANCED)), test, stop_on_drift=True)
    assert anomaly.where == "test against train"
    assert anomaly.is_severe


def test_a_slice_without_examples_is_absent():
    assert select_slice(statistics_of(frame(BALANCED)), span_slice(7)) is None
