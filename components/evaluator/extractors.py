"""Buckets of image quality, so that TFMA can slice by them."""

from typing import Any, NamedTuple

# First of all: TFMA imports a module that tfx_bsl no longer has, and then leaves half of its own
# names undefined. TFX puts a stand-in there. Beam's workers import this and nothing of TFX.
import tfx  # noqa: F401  # pyright: ignore[reportUnusedImport]

# isort: split
import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors import slice_key_extractor
from tensorflow_model_analysis.proto import config_pb2

from schema.features import IMAGE_BRIGHTNESS, IMAGE_SHARPNESS


class Buckets(NamedTuple):
    """Named ranges of a scalar feature.

    Attributes:
        feature: the scalar that is bucketed.
        edges: ascending borders between buckets.
        names: one name more than edges.
    """

    feature: str
    edges: tuple[float, ...]
    names: tuple[str, ...]


BUCKETS = {
    "brightness": Buckets(IMAGE_BRIGHTNESS, (0.3, 0.6), ("dark", "medium", "bright")),
    "sharpness": Buckets(IMAGE_SHARPNESS, (100.0, 1000.0), ("blurred", "medium", "sharp")),
}
"""Slice name to buckets; slices read as `brightness:dark`."""


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[tfma.extractors.Extractor]:
    """Say how TFMA gets predictions and slices out of examples.

    Args:
        eval_shared_model: candidate, or candidate and baseline.
        eval_config: what is evaluated.
        tensor_adapter_config: how to read the examples.

    Returns:
        TFMA's default extractors, with quality buckets added before slices are cut.
    """
    extractors: list[Any] = list(
        tfma.default_extractors(
            eval_shared_model=eval_shared_model,
            eval_config=eval_config,
            tensor_adapter_config=tensor_adapter_config,
        )
    )
    names = [extractor.stage_name for extractor in extractors]
    position = names.index(slice_key_extractor.SLICE_KEY_EXTRACTOR_STAGE_NAME)
    buckets = tfma.extractors.Extractor(
        stage_name="AddQualityBuckets", ptransform=beam.Map(_add_quality_buckets)
    )
    return [*extractors[:position], buckets, *extractors[position:]]


def _add_quality_buckets(extracts: dict[str, Any]) -> dict[str, Any]:
    features = dict(extracts[tfma.FEATURES_KEY])
    for slice_name, bucket in BUCKETS.items():
        value = float(np.asarray(features[bucket.feature]).reshape(-1)[0])
        position = int(np.searchsorted(bucket.edges, value, side="right"))
        features[slice_name] = np.array([bucket.names[position]])
    return {**extracts, tfma.FEATURES_KEY: features}
