"""The executor behind ImageExampleGen."""

import collections
import dataclasses
import logging
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.types import artifact_utils, standard_component_specs

from components.example_gen.listing import read_spans, write_listing
from components.example_gen.place import open_data
from components.example_gen.progress import report_progress
from components.example_gen.reader import INDEX_TAG, QUARANTINE_TAG, ReadImages
from components.example_gen.report import (
    IngestReport,
    QuarantinedFile,
    check_class_sizes,
    check_quarantine_share,
    write_report,
)
from configs.errors import DataError
from configs.load import from_json
from configs.types import DataConfig
from data.duplicates import ImageRecord, find_duplicates
from data.places import Place, place_of
from data.sources import list_images
from data.splits import present_splits
from schema.features import Split

logger = logging.getLogger("loupe.example_gen")

FILES_PER_BATCH = 128
DATA_ROOT_KEY = "data_root"
CONFIG_KEY = "config"
LISTING_KEY = "listing"
INDEX_FOLDER = "index"


class Executor(BaseExampleGenExecutor):
    """Writes raw examples per split, a quarantine list and a report.

    Differs from its base in what it writes: plain TFRecords (compressing JPEGs again gains nothing)
    straight from the reading step, because the base's shuffle holds a whole split in memory.
    """

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:  # noqa: N802, D102
        # The base asks for it only in its own GenerateExamplesByBeam.
        return beam.ParDo(ReadImages(DataConfig(), Path(), {}, None))

    def GenerateExamplesByBeam(  # noqa: N802
        self, pipeline: beam.Pipeline, exec_properties: dict[str, Any]
    ) -> dict[str, beam.PCollection]:
        """Read every file of the data set.

        Args:
            pipeline: the Beam pipeline.
            exec_properties: `data_root`, `config`, the JSON of a DataConfig, and `listing`, the
                file to write the list of files to, where every worker can read it.

        Returns:
            Serialized examples per split, and JSON rows of the index and of the quarantine.
        """
        config = from_json(DataConfig, exec_properties[CONFIG_KEY])
        files = list_images(place_of(exec_properties[DATA_ROOT_KEY]), span=config.span)
        # A fixed shuffle mixes the classes, so that every shard resembles the whole.
        random.Random(0).shuffle(files)  # noqa: S311 (order, not secrecy)
        listing = place_of(exec_properties[LISTING_KEY])
        batches = write_listing(listing, files, batch_size=FILES_PER_BATCH)
        tags = [*Split, QUARANTINE_TAG, INDEX_TAG]
        read_images = ReadImages(config, listing, present_splits(files), _progress_file(listing))
        outputs = (
            pipeline
            | "FileBatches" >> beam.Create(batches, reshuffle=True)
            | "ReadImages" >> beam.ParDo(read_images).with_outputs(*tags)
        )
        return {str(tag): outputs[tag] for tag in tags}

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Ingest the data set.

        Args:
            input_dict: empty.
            output_dict: `examples`, one Examples artifact.
            exec_properties: `data_root` and `config`, as of `GenerateExamplesByBeam`.

        Raises:
            DataError: the data cannot train a classifier; the message says why.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        config = from_json(DataConfig, exec_properties[CONFIG_KEY])
        artifact = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.EXAMPLES_KEY]
        )
        folder = place_of(artifact.uri)
        listing = folder / INDEX_FOLDER / LISTING_KEY
        with (
            open_data(exec_properties[DATA_ROOT_KEY]) as data_root,
            report_progress(_progress_file(listing), listing),
            self._make_beam_pipeline() as pipeline,
        ):
            places = {DATA_ROOT_KEY: str(data_root), LISTING_KEY: str(listing)}
            collections_by_name = self.GenerateExamplesByBeam(
                pipeline, {**exec_properties, **places}
            )
            for split in Split:
                path = folder / f"Split-{split}" / "data_tfrecord"
                _ = collections_by_name[split] | f"Write[{split}]" >> beam.io.WriteToTFRecord(
                    str(path)
                )
            for name in (QUARANTINE_TAG, INDEX_TAG):
                path = folder / INDEX_FOLDER / name
                _ = collections_by_name[name] | f"Write[{name}]" >> beam.io.WriteToText(str(path))
        spans = read_spans(listing)
        listing.unlink()
        artifact.split_names = artifact_utils.encode_split_names(list(Split))
        _finish(folder, config, spans)


def _progress_file(listing: Place) -> Path | None:
    # Nothing can be added to an object, and what runs elsewhere has a progress report of its own.
    return listing.with_name("progress") if isinstance(listing, Path) else None


def _finish(folder: Place, config: DataConfig, spans: list[int]) -> None:
    rows = [_record(row) for row in _read_rows(folder, INDEX_TAG)]
    quarantined = sorted(
        (QuarantinedFile(**row) for row in _read_rows(folder, QUARANTINE_TAG)),
        key=lambda file: file.source,
    )
    per_class = collections.Counter(row.label for row in rows)
    per_split = collections.Counter(row.split for row in rows)
    report = IngestReport(
        num_images=len(rows),
        num_quarantined=len(quarantined),
        images_per_split={split.value: per_split[split] for split in Split},
        images_per_class=dict(sorted(per_class.items())),
        spans=spans,
        duplicates=dataclasses.asdict(find_duplicates(rows, near_bits=config.near_duplicate_bits)),
    )
    write_report(folder, report, quarantined)
    for file in quarantined:
        logger.info("quarantined '%s': %s", file.source, file.reason)
    num_files = len(rows) + len(quarantined)
    logger.info("%d images, %d of %d files quarantined", len(rows), len(quarantined), num_files)
    check_quarantine_share(num_files, quarantined, config.max_quarantine_share)
    check_class_sizes(report.images_per_class, config.min_images_per_class)
    _check_splits(report.images_per_split)


def _record(row: dict[str, Any]) -> ImageRecord:
    row["split"] = Split(row["split"])
    return ImageRecord(**row)


def _check_splits(images_per_split: dict[str, int]) -> None:
    empty = [name for name, count in images_per_split.items() if count == 0]
    if empty:
        raise DataError(
            f"no image fell into the split{'s' if len(empty) > 1 else ''} {', '.join(empty)} "
            f"({images_per_split}). Add images, or raise data.validation_share and data.test_share."
        )


def _read_rows(folder: Place, name: str) -> Iterable[dict[str, Any]]:
    for path in sorted((folder / INDEX_FOLDER).glob(f"{name}-*"), key=str):
        with path.open("rb") as lines:
            yield from (orjson.loads(line) for line in lines)
