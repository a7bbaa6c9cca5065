"""What was answered: written in batches, read as somebody's own history and as traffic."""

import base64
import binascii
import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, and_, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from serving.gateway.api_types import PredictionEntry, PredictionPage
from serving.gateway.database.statements import insert_into
from serving.gateway.database.tables import FeedbackRow, PredictionRow, ReviewItemRow
from serving.gateway.errors import BadRequestError
from serving.gateway.records import PredictionRecord, ReviewStatus, Route

MAX_PAGE_ITEMS: Final = 200

_FIELDS: Final = tuple(
    field.name for field in dataclasses.fields(PredictionRecord) if field.name != "review_image"
)


async def write_records(session: AsyncSession, records: Sequence[PredictionRecord]) -> None:
    """Write predictions, and what of them waits for a human; those that are there already stay.

    Args:
        session: of `writing`.
        records: any number.
    """
    if not records:
        return
    rows = [{name: getattr(record, name) for name in _FIELDS} for record in records]
    insert = insert_into(session, PredictionRow).on_conflict_do_nothing(
        index_elements=["request_id"]
    )
    await session.execute(insert, rows)
    waiting = [to_review_item(record) for record in records if record.needs_review]
    if waiting:
        insert = insert_into(session, ReviewItemRow).on_conflict_do_nothing(
            index_elements=["request_id"]
        )
        await session.execute(insert, waiting)


def to_review_item(record: PredictionRecord) -> dict[str, Any]:
    """Make the row of `review_items` of a prediction.

    Args:
        record: a prediction.

    Returns:
        Values by column; the item waits.
    """
    return {
        "request_id": record.request_id,
        "created_at": record.created_at,
        "reasons": list(record.review_reasons),
        "guess": record.model_label,
        "probability": record.probability,
        "model_version": record.model_version,
        "image": record.review_image,
        "status": ReviewStatus.WAITING.value,
    }


async def find_prediction(session: AsyncSession, request_id: str) -> PredictionRow | None:
    """Find a prediction.

    Args:
        session: of `reading` or `writing`.
        request_id: of the request.

    Returns:
        Its row, or None.
    """
    return await session.get(PredictionRow, request_id)


async def find_sizes(
    session: AsyncSession, request_ids: Sequence[str]
) -> dict[str, tuple[int, int]]:
    """Find how large pictures were when they came in.

    Args:
        session: of `reading` or `writing`.
        request_ids: of the requests; those that are not known are left out.

    Returns:
        Request id to columns and rows as stored, before orientation.
    """
    row = PredictionRow
    query = select(row.request_id, row.image_width, row.image_height)
    found = await session.execute(query.where(row.request_id.in_(request_ids)))
    return {request_id: (width, height) for request_id, width, height in found}


async def list_predictions(
    session: AsyncSession, key_id: str, *, cursor: str | None = None, limit: int = 50
) -> PredictionPage:
    """Read a page of somebody's own history.

    Args:
        session: of `reading`.
        key_id: whose.
        cursor: `next_cursor` of the page before; None for the first.
        limit: most items, 1..MAX_PAGE_ITEMS.

    Returns:
        The page, newest first.

    Raises:
        BadRequestError: a cursor that no page gave, or a limit out of range.
    """
    if not 1 <= limit <= MAX_PAGE_ITEMS:
        raise BadRequestError(
            "limit is out of range.", got=str(limit), accepted=f"1 to {MAX_PAGE_ITEMS}"
        )
    own_feedback = and_(
        FeedbackRow.request_id == PredictionRow.request_id, FeedbackRow.key_id == key_id
    )
    query = (
        select(PredictionRow, FeedbackRow.label)
        .outerjoin(FeedbackRow, own_feedback)
        .where(PredictionRow.key_id == key_id)
        .order_by(PredictionRow.created_at.desc(), PredictionRow.request_id.desc())
        .limit(limit + 1)
    )
    if cursor:
        place = tuple_(PredictionRow.created_at, PredictionRow.request_id)
        query = query.where(place < tuple_(*_read_cursor(cursor)))
    rows = (await session.execute(query)).all()
    is_more = len(rows) > limit
    return PredictionPage(
        items=[_to_entry(row) for row in rows[:limit]],
        next_cursor=_write_cursor(rows[limit - 1][0]) if is_more else None,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Traffic:
    """What one version answered on one route.

    Attributes:
        model_version: the version; 0 for a fallback.
        route: which model answered.
        num_predictions: how many.
        num_for_review: how many of them a human should look at.
        mean_probability: 0..1.
        mean_latency_ms: milliseconds.
    """

    model_version: int
    route: Route
    num_predictions: int
    num_for_review: int
    mean_probability: float
    mean_latency_ms: float


async def count_traffic(session: AsyncSession, since: datetime.datetime) -> list[Traffic]:
    """Count what was answered, by version and route.

    Args:
        session: of `reading`.
        since: beginning of the window.

    Returns:
        One entry a version and route, newest version first.
    """
    review = func.count().filter(PredictionRow.needs_review)
    query = (
        select(
            PredictionRow.model_version,
            PredictionRow.route,
            func.count(),
            review,
            func.avg(PredictionRow.probability),
            func.avg(PredictionRow.latency_ms),
        )
        .where(PredictionRow.created_at >= since)
        .group_by(PredictionRow.model_version, PredictionRow.route)
        .order_by(PredictionRow.model_version.desc(), PredictionRow.route)
    )
    return [
        Traffic(version, Route(route), count, reviews, float(probability), float(latency))
        for version, route, count, reviews, probability, latency in await session.execute(query)
    ]


def share_of_versions(traffic: Sequence[Traffic]) -> dict[int, float]:
    """Tell which part of the answers each version gave; shadows answer nobody.

    Args:
        traffic: of `count_traffic`.

    Returns:
        Version to its share, 0..1; empty without traffic.
    """
    answers: dict[int, int] = {}
    for entry in traffic:
        if entry.route is not Route.SHADOW:
            count = answers.get(entry.model_version, 0)
            answers[entry.model_version] = count + entry.num_predictions
    total = sum(answers.values())
    return {version: count / total for version, count in answers.items()}


def _to_entry(row: Row[PredictionRow, str]) -> PredictionEntry:
    prediction, feedback = row
    return PredictionEntry(
        request_id=prediction.request_id,
        created_at=prediction.created_at,
        label=prediction.label,
        probability=prediction.probability,
        model_version=prediction.model_version,
        route=Route(prediction.route),
        needs_review=prediction.needs_review,
        feedback=feedback,
    )


def _write_cursor(row: PredictionRow) -> str:
    text = f"{row.created_at.isoformat()}|{row.request_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime.datetime, str]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        moment, _, request_id = text.decode("ascii").partition("|")
        if not (request_id.isalnum() and request_id.isascii()):
            raise ValueError(f"no request id in '{moment}'")
        return datetime.datetime.fromisoformat(moment).astimezone(datetime.UTC), request_id
    except (ValueError, OverflowError, binascii.Error) as error:
        raise BadRequestError(
            "cursor is none that a page gave.",
            got=cursor[:100],
            accepted="next_cursor of the page before",
            fix="Leave it out for the first page.",
        ) from error
