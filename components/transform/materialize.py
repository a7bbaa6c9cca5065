"""Applies a transform graph to raw examples, as a Beam step that streams."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricsFilter
from tensorflow.core.example import example_pb2

from schema.features import TRANSFORMED_IMAGE, TRANSFORMED_LABEL_ID

logger = logging.getLogger("loupe.transform")

BATCH_SIZE = 128
"""Images decoded at a time: enough to keep the cores busy, and so many large ones fit in memory.
Beam, left to choose, takes short batches for fast ones and falls back to the fewest allowed."""
FILE_PREFIX = "transformed_examples"
_COUNTER = "images"


class ApplyGraph(beam.DoFn):
    """Turns batches of raw examples into transformed ones.

    Args:
        graph_uri: root of the TransformGraph artifact.
        split: whose examples these are, for messages.
    """

    def __init__(self, graph_uri: str, split: str) -> None:
        super().__init__()
        self._graph_uri = graph_uri
        self._split = split
        self._num_done = 0
        self._counter = Metrics.counter(ApplyGraph, _COUNTER)

    def setup(self) -> None:
        """Load the graph once per worker."""
        output = tft.TFTransformOutput(self._graph_uri)
        spec: Any = output.raw_feature_spec()
        layer: Any = output.transform_features_layer()
        self._transform = tf.function(
            lambda examples: layer(tf.io.parse_example(examples, spec)),
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )

    def process(self, element: list[bytes]) -> Iterator[bytes]:
        """Transform one batch.

        Args:
            element: serialized raw examples.

        Yields:
            Serialized transformed examples, in the same order.
        """
        outputs: Any = self._transform(tf.constant(element))
        images = outputs[TRANSFORMED_IMAGE].numpy().reshape(-1)
        label_ids = outputs[TRANSFORMED_LABEL_ID].numpy().reshape(-1)
        for image, label_id in zip(images.tolist(), label_ids.tolist(), strict=True):
            example = example_pb2.Example()
            feature = example.features.feature
            feature[TRANSFORMED_IMAGE].bytes_list.value.append(image)
            feature[TRANSFORMED_LABEL_ID].int64_list.value.append(label_id)
            yield example.SerializeToString()
        self._num_done += len(element)
        self._counter.inc(len(element))
        logger.info("transformed %d images of '%s'", self._num_done, self._split)


def write_transformed_split(
    pipeline: beam.Pipeline, graph_uri: str, source_uri: str, target_uri: str
) -> None:
    """Add the steps that transform one split.

    Args:
        pipeline: the Beam pipeline.
        graph_uri: root of the TransformGraph artifact.
        source_uri: folder of the split's raw examples.
        target_uri: folder to write uncompressed TFRecords of transformed examples to.
    """
    name = Path(target_uri).name
    _ = (
        pipeline
        | f"Read[{name}]" >> beam.io.ReadFromTFRecord(f"{source_uri}/*", validate=False)
        | f"Batch[{name}]" >> beam.BatchElements(BATCH_SIZE, BATCH_SIZE)
        | f"Transform[{name}]" >> beam.ParDo(ApplyGraph(graph_uri, name.removeprefix("Split-")))
        | f"Write[{name}]" >> beam.io.WriteToTFRecord(f"{target_uri}/{FILE_PREFIX}")
    )


def count_transformed(pipeline: beam.Pipeline) -> int:
    """Add up what a pipeline with the steps of `write_transformed_split` has done.

    Args:
        pipeline: it has run.

    Returns:
        Images of all splits.
    """
    result: Any = pipeline.result
    wanted = MetricsFilter().with_namespace(Metrics.get_namespace(ApplyGraph)).with_name(_COUNTER)
    counters = result.metrics().query(wanted)["counters"]
    return sum(counter.result for counter in counters)
