"""StatisticsGen: TFDV over the scalars and the label, whole and per span."""

from collections.abc import Iterable

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.statistics_gen.component import StatisticsGen
from tfx.types import BaseChannel
from tfx_bsl.public.proto import slicing_spec_pb2

from schema.features import SPAN, STATISTICS_FEATURES

WHOLE_SLICE = "All Examples"
"""The name TFDV gives the statistics of everything."""
_SPAN_PREFIX = f"{SPAN}_"


def build_statistics_gen(*, examples: BaseChannel) -> StatisticsGen:
    """Build the stage that describes the data.

    Args:
        examples: raw examples.

    Returns:
        The StatisticsGen node; output `statistics`, with a slice per span beside the whole, so
        that the newest span can be compared with the one before.
    """
    slicing_config = slicing_spec_pb2.SlicingConfig()
    slicing_config.slicing_specs.add().feature_keys.append(SPAN)
    options = tfdv.StatsOptions(
        feature_allowlist=list(STATISTICS_FEATURES), slicing_config=slicing_config
    )
    return StatisticsGen(examples=examples, stats_options=options)


def select_slice(
    statistics: statistics_pb2.DatasetFeatureStatisticsList, name: str
) -> statistics_pb2.DatasetFeatureStatisticsList | None:
    """Pick one slice out of sliced statistics.

    Args:
        statistics: what StatisticsGen wrote for a split.
        name: `WHOLE_SLICE`, or a name from `span_slice`.

    Returns:
        The slice alone, or None when no example fell into it.
    """
    for dataset in statistics.datasets:
        if dataset.name == name:
            selected = statistics_pb2.DatasetFeatureStatisticsList()
            selected.datasets.add().CopyFrom(dataset)
            return selected
    return None


def span_slice(span: int) -> str:
    """Name the slice of one span.

    Args:
        span: span number.

    Returns:
        The name TFDV gives the slice.
    """
    return f"{_SPAN_PREFIX}{span}"


def spans_of(splits: Iterable[statistics_pb2.DatasetFeatureStatisticsList]) -> list[int]:
    """Find the spans that statistics were made of.

    Args:
        splits: what StatisticsGen wrote, one per split.

    Returns:
        Span numbers with at least one example in any split, ascending.
    """
    names = (dataset.name for statistics in splits for dataset in statistics.datasets)
    return sorted({
        int(name.removeprefix(_SPAN_PREFIX)) for name in names if name.startswith(_SPAN_PREFIX)
    })
