"""Names, dtypes and signatures that stages agree on; each literal occurs here and nowhere else."""

from enum import StrEnum
from typing import Final

IMAGE_ENCODED: Final = "image/encoded"
IMAGE_FORMAT: Final = "image/format"
IMAGE_HEIGHT: Final = "image/height"
IMAGE_WIDTH: Final = "image/width"
IMAGE_CHANNELS: Final = "image/channels"
IMAGE_BYTES_PER_PIXEL: Final = "image/bytes_per_pixel"
IMAGE_BRIGHTNESS: Final = "image/brightness"
IMAGE_CONTRAST: Final = "image/contrast"
IMAGE_SHARPNESS: Final = "image/sharpness"
IMAGE_SATURATION: Final = "image/saturation"
IMAGE_SHA256: Final = "image/sha256"
IMAGE_DHASH: Final = "image/dhash"
IMAGE_SOURCE: Final = "image/source"
SPAN: Final = "span"
LABEL: Final = "label"

INT_FEATURES: Final = (IMAGE_HEIGHT, IMAGE_WIDTH, IMAGE_CHANNELS, SPAN)
FLOAT_FEATURES: Final = (
    IMAGE_BYTES_PER_PIXEL,
    IMAGE_BRIGHTNESS,
    IMAGE_CONTRAST,
    IMAGE_SHARPNESS,
    IMAGE_SATURATION,
)
"""Scalars that let TFDV see images: schema, drift and skew work on them unchanged."""
BYTES_FEATURES: Final = (
    IMAGE_ENCODED,
    IMAGE_FORMAT,
    IMAGE_SHA256,
    IMAGE_DHASH,
    IMAGE_SOURCE,
    LABEL,
)
STATISTICS_FEATURES: Final = (*INT_FEATURES, *FLOAT_FEATURES, IMAGE_FORMAT, LABEL)
"""What StatisticsGen looks at: every scalar and the label, never image bytes or hashes."""

TRANSFORMED_IMAGE: Final = "image"
TRANSFORMED_LABEL_ID: Final = "label_id"


class Split(StrEnum):
    """The three sides of the data; values are the artifact's split names."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Signature(StrEnum):
    """Signatures of the exported SavedModel."""

    SERVING_DEFAULT = "serving_default"
    SERVE_EXAMPLES = "serve_examples"
    TRANSFORM_FEATURES = "transform_features"
    SERVE_PIXELS = "serve_pixels"
    EXPLAIN = "explain"
    EMBED = "embed"


INPUT_IMAGE_BYTES: Final = "image_bytes"
INPUT_EXAMPLES: Final = "examples"
INPUT_PIXELS: Final = "pixels"

OUTPUT_LABEL: Final = "label"
OUTPUT_LABEL_ID: Final = "label_id"
OUTPUT_PROBABILITY: Final = "probability"
OUTPUT_PROBABILITIES: Final = "probabilities"
OUTPUT_CLASSES: Final = "classes"
OUTPUT_NEEDS_REVIEW: Final = "needs_review"
OUTPUT_EMBEDDING: Final = "embedding"
OUTPUT_HEAT_MAP: Final = "heat_map"

LABELS_FILENAME: Final = "labels.txt"
DECISION_FILENAME: Final = "decision.json"
MANIFEST_FILENAME: Final = "manifest.json"
WARMUP_FILENAME: Final = "tf_serving_warmup_requests"
ASSETS_FOLDER: Final = "assets"
ASSETS_EXTRA_FOLDER: Final = "assets.extra"
