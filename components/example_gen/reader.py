"""Image files to raw examples, as a Beam step."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson

from components.example_gen.decoding import decode_upright
from components.example_gen.listing import FileBatch, read_batch
from components.example_gen.progress import add_done
from components.example_gen.report import QuarantinedFile
from configs.errors import InvalidImageError
from configs.types import DataConfig
from data.buckets import BucketPath
from data.duplicates import ImageRecord
from data.examples import encode_example
from data.images import ImageProbe, probe_image, read_image_file
from data.places import TRANSFERS_AT_ONCE, Place
from data.quality import QualityMeasures, measure_quality
from data.sources import ImageFile
from data.splits import split_for
from schema.features import Split

FILES_IN_MEMORY = 32
"""Files that are read and decoded together, of which each may be large."""
QUARANTINE_TAG = "quarantine"
INDEX_TAG = "index"


class ReadImages(beam.DoFn):
    """Turns batches of image files into serialized examples, one output per split.

    Args:
        config: the data settings.
        listing: file that lists the image files.
        present_splits: sides that each span names itself.
        progress: file that tells how many were read; None where nobody looks.
    """

    def __init__(
        self,
        config: DataConfig,
        listing: Place,
        present_splits: dict[int, frozenset[Split]],
        progress: Path | None,
    ) -> None:
        super().__init__()
        self._config = config
        self._listing = listing
        self._present_splits = present_splits
        self._progress = progress

    def process(self, element: FileBatch) -> Iterator[Any]:
        """Read one batch of files.

        Args:
            element: where the listing names them.

        Yields:
            Serialized examples tagged with their split, one JSON index row per example and one
            JSON quarantine row per file that is not a usable image.
        """
        files = read_batch(self._listing, element)
        for start in range(0, len(files), FILES_IN_MEMORY):
            yield from self._read(files[start : start + FILES_IN_MEMORY])
        if self._progress:
            add_done(self._progress, element.count)

    def _read(self, files: Sequence[ImageFile]) -> Iterator[Any]:
        loaded: list[tuple[ImageFile, bytes, ImageProbe]] = []
        for file, data in zip(files, self._load(files), strict=True):
            if isinstance(data, InvalidImageError):
                yield _quarantine(file, b"", data)
                continue
            try:
                probe = probe_image(data, max_pixels=self._config.max_image_pixels)
                loaded.append((file, data, probe))
            except InvalidImageError as error:
                yield _quarantine(file, data, error)
        decoded = decode_upright([(data, probe) for _, data, probe in loaded])
        for (file, data, probe), pixels in zip(loaded, decoded, strict=True):
            if isinstance(pixels, InvalidImageError):
                yield _quarantine(file, data, pixels)
            else:
                yield from self._encode(file, data, probe, measure_quality(pixels))

    def _load(self, files: Sequence[ImageFile]) -> Iterator[bytes | InvalidImageError]:
        if not isinstance(files[0].path, BucketPath):
            return map(self._load_one, files)
        with ThreadPoolExecutor(TRANSFERS_AT_ONCE) as pool:
            return iter(list(pool.map(self._load_one, files)))

    def _load_one(self, file: ImageFile) -> bytes | InvalidImageError:
        try:
            return read_image_file(file.path, max_bytes=self._config.max_image_bytes)
        except InvalidImageError as error:
            return error

    def _encode(
        self, file: ImageFile, data: bytes, probe: ImageProbe, measures: QualityMeasures
    ) -> Iterator[Any]:
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
        yield beam.pvalue.TaggedOutput(INDEX_TAG, orjson.dumps(record).decode())


def _quarantine(file: ImageFile, data: bytes, error: InvalidImageError) -> Any:
    sha256 = hashlib.sha256(data).hexdigest() if data else ""
    row = QuarantinedFile(file.source, str(error), sha256, len(data))
    return beam.pvalue.TaggedOutput(QUARANTINE_TAG, orjson.dumps(row).decode())
