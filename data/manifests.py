"""Reads a manifest: a CSV or JSON-lines file that lists images with label and optional split."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from configs.buckets import is_in_bucket
from configs.errors import DataError
from data.buckets import BucketPath
from data.folders import SPLIT_NAMES
from data.places import Place
from schema.features import Split

MANIFEST_ENDINGS: Final = (".csv", ".jsonl", ".ndjson")
MANIFEST_NAMES: Final = tuple(f"manifest{ending}" for ending in MANIFEST_ENDINGS)
"""A folder that holds one of these is described by it."""

COLUMN_NAMES: Final = {
    "path": ("path", "image", "file", "filename", "file_name", "image_path", "filepath"),
    "label": ("label", "class", "category", "class_name"),
    "split": ("split", "subset", "set"),
}
"""What each column may be called, in any case; the first one present counts."""


@dataclass(frozen=True)
class ManifestRow:
    """One line of a manifest.

    Attributes:
        path: path of the image, resolved against the manifest's folder.
        label: name of the class.
        split: side that the line asks for; None when it leaves that open.
    """

    path: Place
    label: str
    split: Split | None


def read_manifest(manifest: Place) -> list[ManifestRow]:
    """Read every line of a manifest.

    Args:
        manifest: a `.csv` file (comma, semicolon or tab; first line names the columns) or a
            `.jsonl` or `.ndjson` file (one object per line), UTF-8. One in a bucket may also name
            gs:// URLs.

    Returns:
        The rows in file order; each path names a file that exists.

    Raises:
        DataError: the manifest cannot be read or parsed, a column is missing, a split has an
            unknown name, a label is empty, or a path is a URL or names no file.
    """
    records = _read_csv if manifest.suffix.lower() == ".csv" else _read_json_lines
    try:
        return [_to_row(manifest, number, record) for number, record in records(manifest)]
    except OSError as error:
        raise DataError(
            f"manifest '{manifest}' cannot be read: {error.strerror}. Make it readable."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"manifest '{manifest}' is not UTF-8 (byte {error.start}). Save it as UTF-8."
        ) from error
    except csv.Error as error:
        raise DataError(f"manifest '{manifest}' is not CSV: {error}. Mend that line.") from error


def _read_csv(manifest: Place) -> Iterator[tuple[int, dict[str, str]]]:
    with manifest.open(encoding="utf-8-sig", newline="") as file:
        header_line = file.readline()
        delimiter = max(",;\t", key=header_line.count)
        header = next(csv.reader([header_line], delimiter=delimiter), [])
        columns = _find_columns(manifest, header)
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield (
                    reader.line_num + 1,
                    {
                        column: cells[index] if index < len(cells) else ""
                        for column, index in columns.items()
                    },
                )


def _find_columns(manifest: Place, header: list[str]) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    columns: dict[str, int] = {}
    for column, aliases in COLUMN_NAMES.items():
        found = [alias for alias in aliases if alias in names]
        if found:
            columns[column] = names.index(found[0])
        elif column != "split":
            raise DataError(
                f"manifest '{manifest}' has the columns {', '.join(names) or '(none)'}, expected "
                f"one called '{column}' (or {', '.join(aliases[1:])}). Name the columns in line 1."
            )
    return columns


def _read_json_lines(manifest: Place) -> Iterator[tuple[int, dict[str, str]]]:
    with manifest.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, _read_json_line(manifest, number, line)


def _read_json_line(manifest: Place, number: int, line: str) -> dict[str, str]:
    try:
        values: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"manifest '{manifest}' line {number} is not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise DataError(
            f"manifest '{manifest}' line {number} is {type(values).__name__}, expected an object "
            'such as {"path": "a.jpg", "label": "mug"}.'
        )
    record = {str(key).lower(): value for key, value in cast(Mapping[str, Any], values).items()}
    found: dict[str, str] = {}
    for column, aliases in COLUMN_NAMES.items():
        value = next((record[alias] for alias in aliases if record.get(alias) is not None), None)
        if value is None and column != "split":
            raise DataError(
                f"manifest '{manifest}' line {number} has the fields "
                f"{', '.join(record) or '(none)'}, expected one called '{column}' "
                f"(or {', '.join(aliases[1:])})."
            )
        found[column] = "" if value is None else str(value)
    return found


def _to_row(manifest: Place, number: int, record: Mapping[str, str]) -> ManifestRow:
    where = f"manifest '{manifest}' line {number}"
    label = record["label"].strip()
    if not label:
        raise DataError(f"{where} has no label, expected a class name. Fill it in.")
    return ManifestRow(
        _find_file(manifest, where, record["path"].strip()),
        label,
        _parse_split(where, record.get("split", "").strip()),
    )


def _find_file(manifest: Place, where: str, text: str) -> Place:
    may_be_url = isinstance(manifest, BucketPath) and is_in_bucket(text)
    if not may_be_url and ("://" in text or text.startswith("data:")):
        raise DataError(
            f"{where} names '{text[:200]}', expected a file, not a URL. Download the images and "
            "list their paths."
        )
    path = manifest.parent / text
    try:
        is_file = bool(text) and path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        is_file = False
    if not is_file:
        raise DataError(
            f"{where} names '{text[:200]}', which is no file below '{manifest.parent}'. Paths are "
            "relative to the manifest: mend the path, or remove the line."
        )
    return path


def _parse_split(where: str, text: str) -> Split | None:
    if not text:
        return None
    if text.lower() not in SPLIT_NAMES:
        raise DataError(
            f"{where} has the split '{text}', expected one of: {', '.join(SPLIT_NAMES)}, or empty."
        )
    return SPLIT_NAMES[text.lower()]
