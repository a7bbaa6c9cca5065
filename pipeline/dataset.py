"""The data set of a run: found, drawn or unpacked, listed and fingerprinted."""

import logging
from dataclasses import dataclass
from pathlib import Path

from configs.errors import DataError
from configs.load import REPOSITORY_ROOT
from configs.types import PipelineConfig
from configs.workspace import Workspace
from data.archives import is_archive, open_archive
from data.buckets import BucketPath
from data.manifests import MANIFEST_ENDINGS
from data.places import Place, place_of
from data.sources import fingerprint, list_images
from data.synthetic import draw_sample_data

logger = logging.getLogger("loupe.data")

SAMPLE_NAME = "sample"


@dataclass(frozen=True)
class Dataset:
    """Images that a run will read.

    Attributes:
        name: names the curated schema.
        root: folder or manifest.
        version: fingerprint of the files, so that a run sees that they changed.
        spans: span numbers, ascending.
        num_files: files listed.
        curated_schema: the schema that rules; None while there is none.
    """

    name: str
    root: Place
    version: str
    spans: list[int]
    num_files: int
    curated_schema: Path | None


def find_dataset(config: PipelineConfig, workspace: Workspace) -> Dataset:
    """Look at the data before any stage starts.

    Args:
        config: all settings.
        workspace: where sample data is drawn and archives are unpacked.

    Returns:
        The data set.

    Raises:
        DataError: there is no data, or it cannot train a classifier.
    """
    root = _find_root(config, workspace)
    files = list_images(root, span=config.data.span)
    name = dataset_name(config)
    return Dataset(
        name=name,
        root=root,
        version=fingerprint(files),
        spans=sorted({file.span for file in files}),
        num_files=len(files),
        curated_schema=curated_schema(config, name),
    )


def dataset_name(config: PipelineConfig) -> str:
    """Name the data set.

    Args:
        config: all settings.

    Returns:
        `data.dataset`, else the last part of `data.path`, else the sample's name.
    """
    if config.data.dataset:
        return config.data.dataset
    if not config.data.path:
        return SAMPLE_NAME
    place = place_of(config.data.path)
    if isinstance(place, BucketPath):
        return place.name.split(".")[0] if place.suffix.lower() in MANIFEST_ENDINGS else place.name
    path = place.resolve()
    return path.name.split(".")[0] if path.is_file() else path.name


def schema_path(name: str) -> Path:
    """Say where the curated schema of a data set belongs.

    Args:
        name: name of the data set.

    Returns:
        `schema/<name>.pbtxt` of the repository.
    """
    return REPOSITORY_ROOT / "schema" / f"{name}.pbtxt"


def curated_schema(config: PipelineConfig, name: str) -> Path | None:
    """Find the schema that rules a data set.

    Args:
        config: all settings.
        name: name of the data set.

    Returns:
        `validation.schema_file`, else the frozen schema of that name; None without either.
    """
    if config.validation.schema_file:
        return Path(config.validation.schema_file)
    path = schema_path(name)
    return path if path.exists() else None


def _find_root(config: PipelineConfig, workspace: Workspace) -> Place:
    if not config.data.path:
        return draw_sample_data(workspace.sample_data, config.sample, progress=_report_drawing)
    place = place_of(config.data.path)
    if isinstance(place, BucketPath):
        return _refuse_archive(place)
    path = place.expanduser().resolve()
    if is_archive(path):
        status = path.stat()  # a changed archive must not be taken for the one unpacked before
        name = f"{path.name}-{status.st_size}-{status.st_mtime_ns}"
        return open_archive(path, workspace.unpacked / name)
    return path


def _refuse_archive(place: BucketPath) -> BucketPath:
    if is_archive(place):
        raise DataError(
            f"data.path is '{place}', an archive in a bucket, expected a folder or manifest there. "
            "Copy the archive to this machine, or its content to the bucket."
        )
    return place


def _report_drawing(done: int, total: int) -> None:
    progress = {"done": done, "total": total, "unit": "images"}
    logger.info("drew %d of %d sample images", done, total, extra={"progress": progress})
