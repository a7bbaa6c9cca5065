"""What ExampleGen tells the stages and people after it: counts, quarantine and duplicates."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from configs.errors import DataError
from data.places import Place

REPORT_FILENAME = "ingest.json"
QUARANTINE_FILENAME = "quarantine.jsonl"
SHOWN_FILES = 5


@dataclass(frozen=True)
class QuarantinedFile:
    """A file that did not become an example.

    Attributes:
        source: path relative to the data set.
        reason: why, in words.
        sha256: hexadecimal hash of the file's bytes; empty when it could not be read.
        num_bytes: size of the file.
    """

    source: str
    reason: str
    sha256: str
    num_bytes: int


@dataclass(frozen=True)
class IngestReport:
    """Counts of one ingestion.

    Attributes:
        num_images: images that became examples.
        num_quarantined: files that did not.
        images_per_split: examples per split.
        images_per_class: examples per class.
        spans: span numbers read, ascending.
        duplicates: counts and examples of exact and near duplicates.
    """

    num_images: int
    num_quarantined: int
    images_per_split: dict[str, int]
    images_per_class: dict[str, int]
    spans: list[int]
    duplicates: dict[str, Any]


def write_report(folder: Place, report: IngestReport, quarantined: list[QuarantinedFile]) -> None:
    """Write the report and the quarantine list beside the examples.

    Args:
        folder: root of the Examples artifact.
        report: the counts.
        quarantined: every file that did not become an example.
    """
    (folder / REPORT_FILENAME).write_text(json.dumps(dataclasses.asdict(report), indent=1))
    lines = [json.dumps(dataclasses.asdict(file)) for file in quarantined]
    (folder / QUARANTINE_FILENAME).write_text("".join(f"{line}\n" for line in lines))


def read_report(folder: Place) -> IngestReport:
    """Read the counts of an Examples artifact.

    Args:
        folder: root of the Examples artifact.

    Returns:
        The counts.
    """
    return IngestReport(**json.loads((folder / REPORT_FILENAME).read_text()))


def read_quarantine(folder: Place) -> list[QuarantinedFile]:
    """Read the quarantine list of an Examples artifact.

    Args:
        folder: root of the Examples artifact.

    Returns:
        Every file that did not become an example.
    """
    lines = (folder / QUARANTINE_FILENAME).read_text().splitlines()
    return [QuarantinedFile(**json.loads(line)) for line in lines]


def check_quarantine_share(
    num_files: int, quarantined: list[QuarantinedFile], max_share: float
) -> None:
    """Stop a run whose data is mostly broken.

    Args:
        num_files: files that were read.
        quarantined: those that did not become examples.
        max_share: share above which the run stops, 0..1.

    Raises:
        DataError: the share is above `max_share`.
    """
    share = len(quarantined) / num_files
    if share <= max_share:
        return
    shown = "; ".join(f"'{file.source}' ({file.reason})" for file in quarantined[:SHOWN_FILES])
    if len(quarantined) > SHOWN_FILES:
        shown += "; ..."
    raise DataError(
        f"{len(quarantined)} of {num_files} files ({share:.1%}) cannot be used, at most "
        f"{max_share:.1%} may be quarantined: {shown}. "
        "The log names them all. Mend or remove these files, or raise data.max_quarantine_share.",
        facts={"quarantined": [dataclasses.asdict(file) for file in quarantined]},
    )


def check_class_sizes(images_per_class: dict[str, int], minimum: int) -> None:
    """Stop a run that could not learn every class.

    Args:
        images_per_class: usable images per class.
        minimum: fewest images a class may have.

    Raises:
        DataError: fewer than two classes, or a class with fewer than `minimum` images.
    """
    if len(images_per_class) < 2:
        names = ", ".join(f"'{name}'" for name in images_per_class) or "none"
        raise DataError(
            f"the data has {len(images_per_class)} class with usable images ({names}), expected at "
            "least 2. Add a folder of images for another class."
        )
    small = {name: count for name, count in images_per_class.items() if count < minimum}
    if small:
        shown = ", ".join(f"'{name}' ({count})" for name, count in sorted(small.items()))
        raise DataError(
            f"too few usable images in {len(small)} of {len(images_per_class)} classes: {shown}; "
            f"expected at least {minimum} each. Add images, merge classes, or lower "
            "data.min_images_per_class."
        )
