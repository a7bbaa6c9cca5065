"""Image files to raw examples, as a Beam step."""

import dataclasses
import hashlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.example_gen.listing import FileBatch, read_batch
from components.example_gen.report import QuarantinedFile
from configs.errors import InvalidImageError
from configs.types import DataConfig
from data.duplicates import ImageRecord
from data.examples import encode_example
from data.images import ImageProbe, probe_image, read_image_file
from data.quality import measure_quality
from data.sources import ImageFile
from data.splits import split_for
from schema.features import Split
from transform.decoders import decode_bmp, decode_jpeg, decode_png_or_gif, decode_webp
from transform.image_ops import orient_image

logger = logging.getLogger("loupe.example_gen")

MEASURED_SIDE_PIXELS = 288
"""Large JPEGs are decoded at a fraction of their size, as serving does; quality is measured on a
copy half as large as this."""
QUARANTINE_TAG = "quarantine"
INDEX_TAG = "index"
_DECODERS = {
    "bmp": decode_bmp,
    "gif": decode_png_or_gif,
    "png": decode_png_or_gif,
    "webp": decode_webp,
}
_FRAMING = re.compile(r"\{\{.*?\}\} ?| \[Op:.*")
"""What TensorFlow wraps around the message of an op."""


class ReadImages(beam.DoFn):
    """Turns batches of image files into serialized examples, one output per split.

    Args:
        config: the data settings.
        listing: file that lists the image files.
        present_splits: sides that each span names itself.
        num_files: files of the whole data set, for progress.
    """

    def __init__(
        self,
        config: DataConfig,
        listing: Path,
        present_splits: dict[int, frozenset[Split]],
        num_files: int,
    ) -> None:
        super().__init__()
        self._config = config
        self._listing = listing
        self._present_splits = present_splits
        self._num_files = num_files
        self._num_done = 0

    def process(self, element: FileBatch) -> Iterator[Any]:
        """Read one batch of files.

        Args:
            element: where the listing names them.

        Yields:
            Serialized examples tagged with their split, one JSON index row per example and one
            JSON quarantine row per file that is not a usable image.
        """
        for file in read_batch(self._listing, element):
            data = b""
            try:
                data = read_image_file(file.path, max_bytes=self._config.max_image_bytes)
                yield from self._encode(file, data)
            except InvalidImageError as error:
                sha256 = hashlib.sha256(data).hexdigest() if data else ""
                row = QuarantinedFile(file.source, str(error), sha256, len(data))
                yield beam.pvalue.TaggedOutput(QUARANTINE_TAG, json.dumps(dataclasses.asdict(row)))
        self._num_done += element.count
        logger.info(
            "read %d of %d files",
            self._num_done,
            self._num_files,
            extra={
                "progress": {"done": self._num_done, "total": self._num_files, "unit": "images"}
            },
        )

    def _encode(self, file: ImageFile, data: bytes) -> Iterator[Any]:
        probe = probe_image(data, max_pixels=self._config.max_image_pixels)
        try:
            pixels = _decode_upright(data, probe)
        except tf.errors.InvalidArgumentError as error:
            reason = _FRAMING.sub("", error.message).strip().rstrip(".")
            raise InvalidImageError(
                f"the {probe.format} pixels are damaged: {reason}. Copy or export the image again."
            ) from error
        measures = measure_quality(pixels)
        sha256 = hashlib.sha256(data).hexdigest()
        split = split_for(
            file.split,
            self._present_splits[file.span],
            sha256,
            validation_share=self._config.validation_share,
            test_share=self._config.test_share,
        )
        yield beam.pvalue.TaggedOutput(
            split.value, encode_example(file, data, probe, measures, sha256)
        )
        record = ImageRecord(file.source, file.label, split, sha256, measures.dhash)
        yield beam.pvalue.TaggedOutput(INDEX_TAG, json.dumps(dataclasses.asdict(record)))


def _decode_upright(data: bytes, probe: ImageProbe) -> NDArray[np.uint8]:
    # The decoders that serving uses, called for the format at hand: `decode_image` would find it
    # out again, which eagerly takes five times as long as decoding a small JPEG.
    image_bytes = tf.constant(data)
    if probe.format == "jpeg":
        is_large = min(probe.height, probe.width) >= 2 * MEASURED_SIDE_PIXELS
        min_side_pixels = MEASURED_SIDE_PIXELS if is_large else 0
        pixels = decode_jpeg(image_bytes, min_side_pixels=min_side_pixels)
    else:
        pixels = _DECODERS[probe.format](image_bytes)
    if probe.orientation > 1:
        pixels = orient_image(pixels, orientation=tf.constant(probe.orientation, tf.int64))
    return pixels.numpy()
