import apache_beam as beam
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tfx.types import Channel, standard_artifacts, standard_component_specs

from components.statistics_gen import (
    WHOLE_SLICE,
    build_statistics_gen,
    select_slice,
    span_slice,
    spans_of,
)


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """Statistics that TFDV itself makes of spans 2, 9 and 10, with the options of the stage."""
    component = build_statistics_gen(examples=Channel(type=standard_artifacts.Examples))
    options = tfdv.StatsOptions.from_json(
        component.exec_properties[standard_component_specs.STATS_OPTIONS_JSON_KEY]
    )
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([[2], [9], [10], [10]], pa.large_list(pa.int64())),
            pa.array([[b"cat"], [b"dog"], [b"cat"], [b"dog"]], pa.large_list(pa.large_binary())),
        ],
        ["span", "label"],
    )
    path = str(tmp_path_factory.mktemp("statistics") / "stats.pb")
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create([batch])
            | tfdv.GenerateStatistics(options)
            | tfdv.WriteStatisticsToBinaryFile(path)
        )
    return tfdv.load_stats_binary(path)


def test_spans_are_told_from_the_slices_in_the_order_of_their_numbers(statistics):
    assert spans_of([statistics]) == [2, 9, 10]


def test_each_span_and_the_whole_have_a_slice(statistics):
    counts = {
        name: select_slice(statistics, name).datasets[0].num_examples
        for name in (WHOLE_SLICE, span_slice(2), span_slice(10))
    }
    assert counts == {WHOLE_SLICE: 4, span_slice(2): 1, span_slice(10): 2}


def test_a_span_may_be_in_one_split_only(statistics):
    assert spans_of([select_slice(statistics, span_slice(9)), statistics]) == [2, 9, 10]
    assert spans_of([select_slice(statistics, WHOLE_SLICE)]) == []
