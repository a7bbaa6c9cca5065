"""`loupe inspect`: tables of a run, a pushed version, a data folder or an image."""

import collections
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from configs.errors import DataError
from configs.types import DataConfig
from configs.workspace import Workspace
from data.buckets import BucketPath
from data.folders import is_image_name
from data.images import probe_image, read_image_file
from data.places import Place
from data.sources import list_images
from pipeline.cli.live import HIDDEN_STAGES
from pipeline.cli.panel import print_outcome
from pipeline.summary import read_summary
from schema.features import DECISION_FILENAME, LABELS_FILENAME, MANIFEST_FILENAME

SLICE_COLUMNS = ("slice", "num_examples", "accuracy", "balanced_accuracy", "auc")


def inspect_run(console: Console, workspace: Workspace) -> None:
    """Show the newest run of a workspace in full.

    Args:
        console: where to print.
        workspace: where the run was.

    Raises:
        DataError: no run of this workspace has ended yet.
    """
    folder = workspace.latest_run.resolve()
    summary = read_summary(folder)
    if summary is None:
        raise DataError(f"no run in '{workspace.root}' has ended yet. Start one: loupe run")
    stages = [asdict(stage) for stage in summary.stages if stage.name not in HIDDEN_STAGES]
    slices = [{name: row[name] for name in SLICE_COLUMNS} for row in summary.slices]
    for title, rows in (
        ("stages", stages),
        ("classes", summary.per_class),
        ("slices", slices),
        ("quarantined", summary.quarantined),
        ("anomalies", summary.anomalies),
    ):
        if rows:
            console.print(_table(title, rows))
    print_outcome(console, summary, folder)


def inspect_path(console: Console, path: Place) -> None:
    """Show what a path holds.

    Args:
        console: where to print.
        path: a pushed version, a data folder, a manifest or an image; in a bucket one of the
            latter three.

    Raises:
        DataError: the path does not exist, or holds none of these.
    """
    if isinstance(path, BucketPath):
        show = _show_image if is_image_name(path.name) else _show_data
        show(console, path)
    elif (path / MANIFEST_FILENAME).is_file():
        _show_version(console, path)
    elif path.is_dir() or path.suffix in {".csv", ".jsonl", ".ndjson"}:
        _show_data(console, path)
    elif path.is_file():
        _show_image(console, path)
    else:
        raise DataError(f"'{path}' does not exist. Give an image, a data folder or a version.")


def _show_version(console: Console, path: Path) -> None:
    manifest: dict[str, Any] = json.loads((path / MANIFEST_FILENAME).read_text(encoding="utf-8"))
    facts = {
        name: value
        for name, value in manifest.items()
        if name not in {"files", "metrics", "baseline_metrics", "images_per_class"}
    }
    assets = path / "assets"
    labels = (assets / LABELS_FILENAME).read_text(encoding="utf-8").splitlines()
    facts["labels"] = ", ".join(labels)
    facts["decision"] = json.loads((assets / DECISION_FILENAME).read_text(encoding="utf-8"))
    console.print(_table("version", [{"fact": k, "value": v} for k, v in facts.items()]))
    console.print(
        _table("metrics", [{"name": k, "value": v} for k, v in manifest["metrics"].items()])
    )


def _show_data(console: Console, path: Place) -> None:
    files = list_images(path.resolve() if isinstance(path, Path) else path)
    counts = collections.Counter((file.label, str(file.split or "by content")) for file in files)
    splits = sorted({split for _, split in counts})
    rows = [
        {"class": label} | {split: counts[label, split] for split in splits}
        for label in sorted({label for label, _ in counts})
    ]
    spans = sorted({file.span for file in files})
    console.print(_table(f"{len(files)} files, {len(rows)} classes, spans {spans}", rows))


def _show_image(console: Console, path: Place) -> None:
    limits = DataConfig()
    data = read_image_file(path, max_bytes=limits.max_image_bytes)
    probe = probe_image(data, max_pixels=limits.max_image_pixels)
    rows = [{"fact": name, "value": getattr(probe, name)} for name in probe.__slots__]
    console.print(_table(str(path), [*rows, {"fact": "bytes", "value": len(data)}]))


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in rows[0]:
        is_number = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and value > 1:
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.4f}"
    return "-" if value is None else str(value)
