"""Image files to raw examples, as a Beam step."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import tensorflow as tf

from configs.errors import InvalidImageError
from configs.types import DataConfig
from data.examples import encode_example
from data.images import probe_image
from data.quality import measure_quality
from data.sources import ImageFile
from data.splits import split_for
from schema.features import Split
from transform.image_ops import decode_image

logger = logging.getLogger("loupe.example_gen")

QUARANTINE_TAG = "quarantine"
INDEX_TAG = "index"


@dataclass(frozen=True)
class IndexRow:
    """What is remembered of each example after its bytes are written.

    Attributes:
        source: path relative to the data set.
        label: class name.
        split: side of the data.
        sha256: hexadecimal hash of the file's bytes.
        dhash: 64-bit perceptual hash.
    """

    source: str
    label: str
    split: str
    sha256: str
    dhash: int


class ReadImages(beam.DoFn):
    """Turns batches of image files into serialized examples, one output per split.

    Args:
        config: the data settings.
        present_splits: splits that the data set itself gives.
        num_files: files of the whole data set, for progress.
    """

    def __init__(
        self, config: DataConfig, present_splits: frozenset[Split], num_files: int
    ) -> None:
        super().__init__()
        self._config = config
        self._present_splits = present_splits
        self._num_files = num_files
        self._num_done = 0

    def setup(self) -> None:
        """Trace the decoder once per worker."""
        self._decode = tf.function(
            decode_image, input_signature=[tf.TensorSpec([], tf.string)], autograph=False
        )

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
                data = self._read(file)
                yield from self._encode(file, data)
            except (InvalidImageError, OSError) as error:
                row = {
                    "source": file.source,
                    "reason": error.strerror or str(error)
                    if isinstance(error, OSError)
                    else str(error),
                    "sha256": hashlib.sha256(data).hexdigest() if data else "",
                    "num_bytes": len(data),
                }
                yield beam.pvalue.TaggedOutput(QUARANTINE_TAG, json.dumps(row))
        self._num_done += len(element)
        logger.info(
            "read %d of %d files",
            self._num_done,
            self._num_files,
            extra={
                "progress": {"done": self._num_done, "total": self._num_files, "unit": "images"}
            },
        )

    def _read(self, file: ImageFile) -> bytes:
        num_bytes = file.path.stat().st_size
        if num_bytes > self._config.max_image_bytes:
            raise InvalidImageError(
                f"file has {num_bytes} bytes, more than data.max_image_bytes="
                f"{self._config.max_image_bytes}"
            )
        return file.path.read_bytes()

    def _encode(self, file: ImageFile, data: bytes) -> Iterator[Any]:
        probe = probe_image(data, max_pixels=self._config.max_image_pixels)
        try:
            pixels = self._decode(data).numpy()
        except tf.errors.InvalidArgumentError as error:
            first_line = error.message.splitlines()[0]
            raise InvalidImageError(f"pixels cannot be decoded: {first_line}") from error
        measures = measure_quality(pixels)
        sha256 = hashlib.sha256(data).hexdigest()
        split = split_for(
            file.split,
            self._present_splits,
            sha256,
            validation_share=self._config.validation_share,
            test_share=self._config.test_share,
        )
        yield beam.pvalue.TaggedOutput(
            split.value, encode_example(file, data, probe, measures, sha256)
        )
        row = IndexRow(file.source, file.label, split.value, sha256, measures.dhash)
        yield beam.pvalue.TaggedOutput(INDEX_TAG, json.dumps(row.__dict__))
