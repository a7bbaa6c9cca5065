"""Turns an image into the raw tf.Example of the contract, and back."""

from typing import Any

from tensorflow.core.example import example_pb2

from data.images import ImageProbe
from data.quality import QualityMeasures
from data.sources import ImageFile
from schema import features


def encode_example(
    file: ImageFile,
    data: bytes,
    probe: ImageProbe,
    measures: QualityMeasures,
    sha256_hex: str,
) -> bytes:
    """Write one image as a raw example.

    Args:
        file: where the image comes from, its label and span.
        data: the original bytes of the file.
        probe: what its header says.
        measures: its scalars.
        sha256_hex: SHA-256 of `data`, 64 hexadecimal digits.

    Returns:
        A serialized `tf.train.Example` with exactly the features of `schema/features.py`.
    """
    example = example_pb2.Example()
    feature = example.features.feature
    for key, integer in (
        (features.IMAGE_HEIGHT, probe.height),
        (features.IMAGE_WIDTH, probe.width),
        (features.IMAGE_CHANNELS, probe.channels),
        (features.SPAN, file.span),
    ):
        feature[key].int64_list.value.append(integer)
    for key, number in (
        (features.IMAGE_BYTES_PER_PIXEL, len(data) / (probe.height * probe.width)),
        (features.IMAGE_BRIGHTNESS, measures.brightness),
        (features.IMAGE_CONTRAST, measures.contrast),
        (features.IMAGE_SHARPNESS, measures.sharpness),
        (features.IMAGE_SATURATION, measures.saturation),
    ):
        feature[key].float_list.value.append(number)
    for key, text in (
        (features.IMAGE_ENCODED, data),
        (features.IMAGE_FORMAT, probe.format.encode()),
        (features.IMAGE_SHA256, sha256_hex.encode()),
        (features.IMAGE_DHASH, format_dhash(measures.dhash).encode()),
        (features.IMAGE_SOURCE, file.source.encode()),
        (features.LABEL, file.label.encode()),
    ):
        feature[key].bytes_list.value.append(text)
    return example.SerializeToString()


def decode_example(serialized: bytes) -> dict[str, Any]:
    """Read an example that `encode_example` wrote.

    Args:
        serialized: a serialized `tf.train.Example`.

    Returns:
        Value of each feature by its key: bytes, int or float.
    """
    example = example_pb2.Example.FromString(serialized)
    return {
        key: getattr(feature, feature.WhichOneof("kind")).value[0]
        for key, feature in example.features.feature.items()
    }


def format_dhash(dhash: int) -> str:
    """Write a perceptual hash as text.

    Args:
        dhash: 0 to 2^64 - 1.

    Returns:
        16 hexadecimal digits.
    """
    return f"{dhash:016x}"
