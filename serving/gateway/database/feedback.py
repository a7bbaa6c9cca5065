"""What callers say that their pictures show."""

import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from serving.gateway.database.labels import check_label
from serving.gateway.database.predictions import find_prediction, write_records
from serving.gateway.database.review import complain
from serving.gateway.database.statements import insert_into
from serving.gateway.database.tables import FeedbackRow, PredictionRow
from serving.gateway.errors import NotFoundError, UnprocessableError
from serving.gateway.records import PredictionRecord


async def save_feedback(
    session: AsyncSession,
    *,
    request_id: str,
    key_id: str,
    label: str,
    comment: str = "",
    image: bytes | None = None,
    pending: PredictionRecord | None = None,
) -> bool:
    """Keep what a caller says; a later word replaces an earlier one.

    When the answer was another one, the picture waits for a human.

    Args:
        session: of `writing`.
        request_id: of the prediction.
        key_id: who says it.
        label: the true class.
        comment: free text.
        image: the picture once more, checked, without metadata, PNG; kept only for review.
        pending: the prediction, when it was just answered and is not in the database yet
            (`Recorder.find_pending`); it is written here then.

    Returns:
        Whether the answer had this label.

    Raises:
        NotFoundError: no such prediction, or somebody else's.
        UnprocessableError: text that cannot be a label or a comment.
    """
    check_label(label)
    if "\0" in comment:
        raise UnprocessableError("comment has a NUL character.", accepted="text without it")
    prediction = await _find_own(session, request_id, key_id, pending)
    said_at = datetime.datetime.now(datetime.UTC)
    values = {"created_at": said_at, "label": label, "comment": comment}
    insert = insert_into(session, FeedbackRow).values(
        request_id=request_id, key_id=key_id, **values
    )
    await session.execute(
        insert.on_conflict_do_update(index_elements=["request_id", "key_id"], set_=values)
    )
    is_right = label == prediction.label
    if not is_right:
        await complain(session, prediction, image)
    return is_right


async def _find_own(
    session: AsyncSession, request_id: str, key_id: str, pending: PredictionRecord | None
) -> PredictionRow:
    prediction = await find_prediction(session, request_id)
    if prediction is None and pending is not None:
        await write_records(session, [pending])
        prediction = await find_prediction(session, request_id)
    # The same words for both: ids of others cannot be found out.
    if prediction is None or prediction.key_id != key_id:
        raise NotFoundError(
            f"no prediction '{request_id}' of yours.",
            fix="Give the request_id of an answer that this key got.",
        )
    return prediction
