"""Image files to raw examples, as a Beam step."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from components.example_gen.report import QuarantinedFile
from configs.errors import InvalidImageError
from configs.types import DataConfig
from data.duplicates import ImageRecord
from data.examples import encode_example
from data.images import probe_image, read_image_file
from data.quality import measure_quality
from data.sources import ImageFile
from data.splits import split_for
from schema.features import Split
from transform.image_ops import decode_image, orient_image

logger = logging.getLogger("loupe.example_gen")

MEASURED_SIDE_PIXELS = 288
"""Large JPEGs are decoded at a fraction of their size, as serving does; quality is measured on a
copy half as large as this."""
QUARANTINE_TAG = "quarantine"
INDEX_TAG = "index"


class ReadImages(beam.DoFn):
    """Turns batches of image files into serialized examples, one output per split.

    Args:
        config: the data settings.
        present_splits: sides that each span names itself.
        num_files: files of the whole data set, for progress.
    """

    def __init__(
        self, config: DataConfig, present_splits: dict[int, frozenset[Split]], num_files: int
    ) -> None:
        super().__init__()
        self._config = config
        self._present_splits = present_splits
        self._num_files = num_files
        self._num_done = 0

    def process(self, element: Sequence[ImageFile]) -> Iterator[Any]:
        """Read one batch of files.

        Args:
            element: the files.

        Yields:
            Serialized examples tagged with their split, one JSON index row per example and one
            JSON quarantine row per file that is not a usable image.
        """
        for file in element:
            data = b""
            try:
                data = read_image_file(file.path, max_bytes=self._config.max_image_bytes)
                yield from self._encode(file, data)
            except InvalidImageError as error:
                sha256 = hashlib.sha256(data).hexdigest() if data else ""
                row = QuarantinedFile(file.source, str(error), sha256, len(data))
                yield beam.pvalue.TaggedOutput(QUARANTINE_TAG, json.dumps(dataclasses.asdict(row)))
        self._num_done += len(element)
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
            pixels = _decode_upright(data, probe.orientation)
        except tf.errors.InvalidArgumentError as error:
            raise InvalidImageError(
                f"the {probe.format} pixels are damaged: {error.message.splitlines()[0]} Copy or "
                "export the image again."
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


def _decode_upright(data: bytes, orientation: int) -> NDArray[np.uint8]:
    # Called eagerly: five times faster per image than a traced function, and op errors stay short.
    pixels = decode_image(tf.constant(data), min_side_pixels=MEASURED_SIDE_PIXELS)
    if orientation > 1:
        pixels = orient_image(pixels, orientation=tf.constant(orientation, tf.int64))
    return pixels.numpy()
