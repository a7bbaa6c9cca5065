"""The way back to training: what humans decided becomes the next span of a data folder.

```
span-7/<label>/<request id>.png    what `make run DATA=...` reads
span-7/provenance.jsonl            where each picture is from, and who decided
```
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from configs.errors import DataError
from data.sources import find_spans
from serving.gateway.database.audit import add_audit
from serving.gateway.database.engine import reading, writing
from serving.gateway.database.labels import PROVENANCE_NAME, check_label
from serving.gateway.database.locks import exclusive, try_lock
from serving.gateway.database.predictions import find_sizes
from serving.gateway.database.review import read_image
from serving.gateway.database.tables import ReviewItemRow
from serving.gateway.errors import ConflictError, NotFoundError
from serving.gateway.records import ReviewStatus

_LOCK_NAME: Final = ".review-export.lock"
_PARTIAL: Final = ".span-{}.partial"
_CHUNK: Final = 500  # databases limit the parameters of a statement

_Item = TypeVar("_Item")

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Export:
    """What was exported.

    Attributes:
        folder: the new span.
        labels: class to its number of pictures.
        num_recovered: items that an export before had written, and was killed before it noted so.
    """

    folder: Path | None
    labels: dict[str, int]
    num_recovered: int


async def export_reviews(engine: AsyncEngine, data_folder: Path, *, actor: str) -> Export:
    """Make the next span of all decided items that are in none yet, whole or not at all.

    Their pictures leave the database with this.

    Args:
        engine: of the database.
        data_folder: the training data: empty or missing, or a folder of `span-N` folders.
        actor: who does it, for the audit log.

    Returns:
        What was exported; `folder` is None when there was nothing.

    Raises:
        ConflictError: another export runs.
        DataError: the folder holds something else than spans, or cannot be written.
        UnavailableError: the database cannot be reached; run it again then.
    """
    with _reporting_disk(data_folder):
        data_folder.mkdir(parents=True, exist_ok=True)
        async with exclusive(engine, "review-export") as is_mine:
            with _locked(data_folder) as is_folder_mine:
                if not (is_mine and is_folder_mine):
                    raise ConflictError(
                        f"another export runs into '{data_folder}' or from this database.",
                        fix="Wait for it, then run this again.",
                    )
                return await _export(engine, data_folder, actor)


async def _export(engine: AsyncEngine, data_folder: Path, actor: str) -> Export:
    span = _next_span(data_folder)
    num_recovered = await _recover(engine, data_folder, actor)
    partial, final = data_folder / _PARTIAL.format(span), data_folder / f"span-{span}"
    for leftover in data_folder.glob(_PARTIAL.format("*")):
        await asyncio.to_thread(shutil.rmtree, leftover)
    try:
        written = await _write_pictures(engine, partial)
        if not written:
            return Export(None, {}, num_recovered)
        async with writing(engine) as session:
            entries = await _mark(session, written, span, actor)
            if entries:
                # The folder appears before the database says so: an end in between is seen by
                # its provenance the next time, and nothing is lost or exported twice.
                with _reporting_disk(data_folder):
                    await asyncio.to_thread(_publish, partial, final, entries)
        labels: dict[str, int] = {}
        for entry in entries:
            labels[entry["label"]] = labels.get(entry["label"], 0) + 1
        return Export(final if entries else None, labels, num_recovered)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _next_span(data_folder: Path) -> int:
    if not any(entry.name[:1] != "." for entry in data_folder.iterdir()):
        return 1
    spans = find_spans(data_folder)
    missing = [number for number in spans if not (data_folder / f"span-{number}").is_dir()]
    if missing:
        raise DataError(
            f"'{data_folder}' holds images outside of spans, expected span-N folders only. Move "
            "everything in it into a folder span-1."
        )
    return spans[-1] + 1


async def _recover(engine: AsyncEngine, data_folder: Path, actor: str) -> int:
    num_recovered = 0
    for provenance in sorted(data_folder.glob(f"span-*/{PROVENANCE_NAME}")):
        labels = _read_labels(provenance)
        span = int(provenance.parent.name.removeprefix("span-"))
        for ids in _chunks([*labels]):
            async with writing(engine) as session:
                waiting = await _select_ready(session, ids)
                for item in waiting:
                    if item.decided_label != labels[item.request_id]:
                        _log.warning(
                            "a picture is training data with a label that was changed since",
                            file=str(provenance.parent / labels[item.request_id]),
                            request_id=item.request_id,
                            label=item.decided_label,
                        )
                await _set_span(session, [item.request_id for item in waiting], span)
                if waiting:
                    details = {"recovered": len(waiting)}
                    _audit(session, actor, span, details)
            num_recovered += len(waiting)
    return num_recovered


async def _write_pictures(engine: AsyncEngine, partial: Path) -> list[ReviewItemRow]:
    async with reading(engine) as session:
        items = await _select_ready(session, None)
    written: list[ReviewItemRow] = []
    for item in items:
        label = check_label(item.decided_label or "")
        async with reading(engine) as session:
            with contextlib.suppress(NotFoundError):  # retention was faster
                image = await read_image(session, item.request_id)
                await asyncio.to_thread(_write, partial / label / f"{item.request_id}.png", image)
                written.append(item)
    return written


async def _mark(
    session: AsyncSession, written: Sequence[ReviewItemRow], span: int, actor: str
) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for items in _chunks(written):
        labels = {item.request_id: item.decided_label for item in items}
        ready = await _select_ready(session, [*labels], is_locking=True)
        # What was taken back, or decided anew, while files were written waits for the next time.
        kept = [item for item in ready if item.decided_label == labels[item.request_id]]
        await _set_span(session, [item.request_id for item in kept], span)
        sizes = await find_sizes(session, [item.request_id for item in kept])
        entries += [_describe(item, sizes.get(item.request_id)) for item in kept]
    if entries:
        _audit(session, actor, span, {"pictures": len(entries)})
    return entries


async def _select_ready(
    session: AsyncSession, ids: Sequence[str] | None, *, is_locking: bool = False
) -> Sequence[ReviewItemRow]:
    item = ReviewItemRow
    query = (
        select(item)
        .where(item.status == ReviewStatus.DECIDED, item.span.is_(None), item.image.is_not(None))
        .order_by(item.decided_at, item.request_id)
    )
    if ids is not None:
        query = query.where(item.request_id.in_(ids))
    if is_locking:
        query = query.with_for_update()
    return (await session.scalars(query)).all()


async def _set_span(session: AsyncSession, ids: Sequence[str], span: int) -> None:
    change = update(ReviewItemRow).where(ReviewItemRow.request_id.in_(ids))
    change = change.values(span=span, image=None).execution_options(synchronize_session=False)
    await session.execute(change)


def _audit(session: AsyncSession, actor: str, span: int, details: dict[str, Any]) -> None:
    add_audit(session, actor=actor, action="review.export", subject=f"span-{span}", details=details)


def _describe(item: ReviewItemRow, size: tuple[int, int] | None) -> dict[str, Any]:
    width, height = size or (None, None)
    return {
        "file": f"{item.decided_label}/{item.request_id}.png",
        "label": item.decided_label,
        "request_id": item.request_id,
        "created_at": item.created_at.isoformat(),
        "model_version": item.model_version,
        "guess": item.guess,
        "probability": item.probability,
        "reasons": item.reasons,
        "image_width": width,
        "image_height": height,
        "decided_by": item.decided_by,
        "decided_at": item.decided_at.isoformat() if item.decided_at else None,
    }


def _publish(partial: Path, final: Path, entries: Sequence[dict[str, Any]]) -> None:
    wanted = {entry["file"] for entry in entries}
    for file in [*partial.glob("*/*.png")]:
        if str(file.relative_to(partial)) not in wanted:
            file.unlink()
    for folder in [*partial.iterdir()]:
        if not any(folder.iterdir()):
            folder.rmdir()
    lines: list[str] = []
    for entry in entries:
        digest = hashlib.sha256((partial / entry["file"]).read_bytes()).hexdigest()
        lines.append(json.dumps({**entry, "sha256": digest}, ensure_ascii=False) + "\n")
    _write(partial / PROVENANCE_NAME, "".join(lines).encode())
    for folder in (*[path for path in partial.iterdir() if path.is_dir()], partial):
        _sync_folder(folder)
    partial.rename(final)
    _sync_folder(final.parent)


def _read_labels(provenance: Path) -> dict[str, str]:
    try:
        lines = provenance.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        return {str(entry["request_id"]): str(entry["label"]) for entry in entries}
    except (ValueError, LookupError, TypeError) as error:
        raise DataError(
            f"'{provenance}' is no provenance as an export writes it: {type(error).__name__}: "
            f"{error}. Restore it, or move its span elsewhere."
        ) from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _chunks(items: Sequence[_Item]) -> Iterable[Sequence[_Item]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


@contextlib.contextmanager
def _locked(data_folder: Path) -> Generator[bool]:
    descriptor = os.open(data_folder / _LOCK_NAME, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _reporting_disk(data_folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"'{data_folder}' cannot be written: {error}. Make it writable, or give another."
        ) from error
