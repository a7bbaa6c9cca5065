"""Pictures that wait for a human, and what the human decides."""

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from serving.gateway.database.audit import add_audit
from serving.gateway.database.labels import check_label
from serving.gateway.database.statements import changed_rows, insert_into
from serving.gateway.database.tables import PredictionRow, ReviewItemRow
from serving.gateway.errors import ConflictError, NotFoundError
from serving.gateway.records import ReviewReason, ReviewStatus


async def list_waiting(
    session: AsyncSession, *, limit: int = 50, offset: int = 0
) -> Sequence[ReviewItemRow]:
    """Read what waits.

    Args:
        session: of `reading`.
        limit: most items.
        offset: how many to leave out.

    Returns:
        Items without their pictures, oldest first.
    """
    query = (
        select(ReviewItemRow)
        .where(ReviewItemRow.status == ReviewStatus.WAITING)
        .order_by(ReviewItemRow.created_at, ReviewItemRow.request_id)
        .limit(limit)
        .offset(offset)
    )
    return (await session.scalars(query)).all()


async def count_by_status(session: AsyncSession) -> dict[ReviewStatus, int]:
    """Count the items of each status.

    Args:
        session: of `reading`.

    Returns:
        Every status to its number of items.
    """
    query = select(ReviewItemRow.status, func.count()).group_by(ReviewItemRow.status)
    counts = {status: count for status, count in await session.execute(query)}
    return {status: counts.get(status.value, 0) for status in ReviewStatus}


async def find_item(session: AsyncSession, request_id: str) -> ReviewItemRow:
    """Find an item.

    Args:
        session: of `reading` or `writing`.
        request_id: of the prediction.

    Returns:
        The item without its picture.

    Raises:
        NotFoundError: there is none.
    """
    item = None
    if _is_id(request_id):
        item = await session.get(ReviewItemRow, request_id, populate_existing=True)
    if item is None:
        raise NotFoundError(f"no review item {request_id[:40]!r}.", fix="Reload the queue.")
    return item


async def read_image(session: AsyncSession, request_id: str) -> bytes:
    """Read the picture of an item.

    Args:
        session: of `reading`.
        request_id: of the prediction.

    Returns:
        PNG.

    Raises:
        NotFoundError: no such item, or its picture is not kept (any more).
    """
    query = select(ReviewItemRow.image).where(ReviewItemRow.request_id == request_id)
    image = await session.scalar(query) if _is_id(request_id) else None
    if image is None:
        raise NotFoundError(f"no picture of {request_id[:40]!r} is kept.", fix="Reload the queue.")
    return image


async def decide(session: AsyncSession, request_id: str, *, label: str, actor: str) -> None:
    """Say what a waiting picture shows.

    Args:
        session: of `writing`.
        request_id: of the prediction.
        label: the true class; the picture becomes training data of it.
        actor: key id of who decides.

    Raises:
        NotFoundError: no such item.
        ConflictError: it does not wait any more.
        UnprocessableError: text that cannot name a class.
    """
    check_label(label)
    await _settle(session, request_id, ReviewStatus.DECIDED, actor, label)


async def discard(session: AsyncSession, request_id: str, *, actor: str) -> None:
    """Say that a waiting picture is of no use.

    Args:
        session: of `writing`.
        request_id: of the prediction.
        actor: key id of who decides.

    Raises:
        NotFoundError: no such item.
        ConflictError: it does not wait any more.
    """
    await _settle(session, request_id, ReviewStatus.DISCARDED, actor, None)


async def reopen(session: AsyncSession, request_id: str, *, actor: str) -> None:
    """Take a decision back; the item waits again.

    Args:
        session: of `writing`.
        request_id: of the prediction.
        actor: key id of who takes it back.

    Raises:
        NotFoundError: no such item.
        ConflictError: it waits already, has expired, or is training data by now.
    """
    settled = ReviewItemRow.status.in_([ReviewStatus.DECIDED, ReviewStatus.DISCARDED])
    values = {"status": ReviewStatus.WAITING.value, "decided_label": None, "decided_by": None}
    change = (
        update(ReviewItemRow)
        .where(ReviewItemRow.request_id == request_id, settled, ReviewItemRow.span.is_(None))
        .values(**values, decided_at=None)
    )
    await _change(session, request_id, change)
    add_audit(session, actor=actor, action="review.reopen", subject=request_id)


async def complain(session: AsyncSession, prediction: PredictionRow, image: bytes | None) -> None:
    """Let a picture wait for a human because its owner says that the answer is wrong.

    What a human has decided already stays decided.

    Args:
        session: of `writing`.
        prediction: the answer.
        image: the picture as PNG, where the caller gave it once more.
    """
    insert = insert_into(session, ReviewItemRow).values(
        request_id=prediction.request_id,
        created_at=datetime.datetime.now(datetime.UTC),
        reasons=[],
        guess=prediction.model_label,
        probability=prediction.probability,
        model_version=prediction.model_version,
        status=ReviewStatus.WAITING.value,
    )
    await session.execute(insert.on_conflict_do_nothing(index_elements=["request_id"]))
    query = select(ReviewItemRow).where(ReviewItemRow.request_id == prediction.request_id)
    item = (await session.scalars(query.with_for_update())).one()
    if item.status == ReviewStatus.EXPIRED and image is not None:
        item.status, item.created_at = (
            ReviewStatus.WAITING.value,
            datetime.datetime.now(datetime.UTC),
        )
    if item.status != ReviewStatus.WAITING:
        return
    if ReviewReason.COMPLAINT not in item.reasons:
        item.reasons = [*item.reasons, ReviewReason.COMPLAINT.value]
    if image is not None:
        await session.flush()
        is_missing = ReviewItemRow.image.is_(None)
        change = update(ReviewItemRow).where(
            ReviewItemRow.request_id == prediction.request_id, is_missing
        )
        await session.execute(change.values(image=image))


def _is_id(request_id: str) -> bool:
    # PostgreSQL refuses some text, such as a NUL: what is no id is not asked for.
    return request_id.isascii() and request_id.isalnum()


async def _settle(
    session: AsyncSession, request_id: str, status: ReviewStatus, actor: str, label: str | None
) -> None:
    change = (
        update(ReviewItemRow)
        .where(ReviewItemRow.request_id == request_id, ReviewItemRow.status == ReviewStatus.WAITING)
        .values(
            status=status.value,
            decided_label=label,
            decided_by=actor,
            decided_at=datetime.datetime.now(datetime.UTC),
        )
    )
    await _change(session, request_id, change)
    action = "review.decide" if label is not None else "review.discard"
    add_audit(session, actor=actor, action=action, subject=request_id, details={"label": label})


async def _change(session: AsyncSession, request_id: str, change: Any) -> None:
    if _is_id(request_id):
        changed = await session.execute(change.execution_options(synchronize_session=False))
        if changed_rows(changed):
            return
    item = await find_item(session, request_id)
    where = f" and is in span-{item.span}" if item.span is not None else ""
    raise ConflictError(
        f"review item '{request_id}' has changed meanwhile: it is {item.status}{where}.",
        got=f"{item.status} by {item.decided_by or 'nobody'}",
        fix="Reload the queue.",
    )
