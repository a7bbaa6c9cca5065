"""The review queue."""

import dataclasses
import datetime
import string
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.ext.asyncio import AsyncSession

from serving.gateway.console.access import Viewer, frame_page, get_form, need, read_number
from serving.gateway.console.parts import get_parts
from serving.gateway.console.templating import Pages
from serving.gateway.console.wording import REASONS
from serving.gateway.database import review
from serving.gateway.database.engine import reading, writing
from serving.gateway.database.predictions import find_prediction
from serving.gateway.database.tables import FeedbackRow, ReviewItemRow
from serving.gateway.errors import BadRequestError, NotFoundError
from serving.gateway.records import ReviewReason, ReviewStatus
from serving.gateway.scopes import Scope

# Without x (discard), s (skip) and u (undo).
_KEYS: Final = "1234567890" + "".join(sorted(set(string.ascii_lowercase) - set("xsu")))
_MAX_SKIP: Final = 100_000
_MAX_COMMENTS: Final = 5
_IMAGE_HEADERS: Final = {"Cache-Control": "private, max-age=600"}
_CanReview = Annotated[Viewer, Depends(need(Scope.ADMIN))]


@dataclasses.dataclass(frozen=True, slots=True)
class ClassChoice:
    """A class that a picture may show.

    Attributes:
        label: class name.
        key: the key that chooses it; empty once keys have run out.
        is_guess: whether the model answered it.
        probability: what the model gave it, 0..1; None where it was not among the best.
    """

    label: str
    key: str
    is_guess: bool
    probability: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class ReviewItem:
    """A picture that waits.

    Attributes:
        request_id: of the prediction.
        created_at: when it was answered.
        guess: the model's answer.
        probability: of the guess, 0..1.
        model_version: version that answered.
        reasons: why a human should look.
        comments: what callers say that it shows, label and comment.
    """

    request_id: str
    created_at: datetime.datetime
    guess: str
    probability: float
    model_version: int
    reasons: Sequence[str]
    comments: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Undo:
    """What the viewer did last.

    Attributes:
        request_id: of the item.
        label: what it was said to show; empty when it was discarded.
    """

    request_id: str
    label: str


@dataclasses.dataclass(frozen=True, slots=True)
class ReviewView:
    """The review queue.

    Attributes:
        item: what waits; None when nothing does.
        choices: the classes.
        num_waiting: items that wait.
        num_decided: items that are decided or discarded.
        skip: how many items were left out.
        next_request_id: of the item after this one, to be fetched early; empty where there is none.
        undo: what can be taken back; None where nothing can.
    """

    item: ReviewItem | None
    choices: Sequence[ClassChoice]
    num_waiting: int
    num_decided: int
    skip: int
    next_request_id: str
    undo: Undo | None


def add_review_pages(router: APIRouter, pages: Pages) -> None:
    """Add the routes.

    Args:
        router: of the console.
        pages: renders templates.
    """

    @router.get("/review")
    async def show_review(request: Request, viewer: _CanReview) -> Response:
        parts = get_parts(request)
        async with reading(parts.engine) as session:
            view = await _make_view(
                session,
                labels=parts.list_labels(),
                skip=_read_skip(request.query_params),
                done=request.query_params.get("done", ""),
                actor=viewer.principal.key_id,
            )
        return pages.render("review.html", frame=frame_page(request, viewer, "review"), view=view)

    @router.get("/review/{request_id}/image")
    async def show_image(request: Request, request_id: str, viewer: _CanReview) -> Response:
        del viewer
        async with reading(get_parts(request).engine) as session:
            image = await review.read_image(session, request_id)
        return Response(image, media_type="image/png", headers=_IMAGE_HEADERS)

    @router.post("/review/{request_id}")
    async def settle(request: Request, request_id: str, viewer: _CanReview) -> Response:
        form, actor = get_form(request), viewer.principal.key_id
        action = form.get("action", "")
        skip = _read_skip(form)
        async with writing(get_parts(request).engine) as session:
            if action == "decide":
                label = form.get("label", "")
                await review.decide(session, request_id, label=label, actor=actor)
            elif action == "discard":
                await review.discard(session, request_id, actor=actor)
            elif action == "reopen":
                await review.reopen(session, request_id, actor=actor)
                return RedirectResponse("/console/review", status_code=303)
            else:
                raise BadRequestError(
                    "Unknown action.",
                    got=ascii(action[:50]),
                    accepted="decide, discard or reopen",
                )
        query = urllib.parse.urlencode({"done": request_id, "skip": skip})
        return RedirectResponse(f"/console/review?{query}", status_code=303)


def _read_skip(values: Mapping[str, str]) -> int:
    return read_number(values.get("skip", ""), _MAX_SKIP) or 0


async def _make_view(
    session: AsyncSession, *, labels: Sequence[str], skip: int, done: str, actor: str
) -> ReviewView:
    counts = await review.count_by_status(session)
    rows = await review.list_waiting(session, limit=2, offset=skip)
    if not rows and skip:
        skip = 0
        rows = await review.list_waiting(session, limit=2)
    item, choices = (await _describe(session, rows[0], labels)) if rows else (None, [])
    return ReviewView(
        item=item,
        choices=choices,
        num_waiting=counts[ReviewStatus.WAITING],
        num_decided=counts[ReviewStatus.DECIDED] + counts[ReviewStatus.DISCARDED],
        skip=skip,
        next_request_id=rows[1].request_id if len(rows) > 1 else "",
        undo=await _find_undo(session, done, actor) if done else None,
    )


async def _describe(
    session: AsyncSession, row: ReviewItemRow, labels: Sequence[str]
) -> tuple[ReviewItem, list[ClassChoice]]:
    query = (
        sa
        .select(FeedbackRow.label, FeedbackRow.comment)
        .where(FeedbackRow.request_id == row.request_id)
        .order_by(FeedbackRow.created_at.desc())
        .limit(_MAX_COMMENTS)
    )
    comments = [(label, comment) for label, comment in await session.execute(query)]
    prediction = await find_prediction(session, row.request_id)
    item = ReviewItem(
        request_id=row.request_id,
        created_at=row.created_at,
        guess=row.guess,
        probability=row.probability,
        model_version=row.model_version,
        reasons=[REASONS[ReviewReason(reason)] for reason in row.reasons],
        comments=comments,
    )
    said = [label for label, _ in comments]
    top_k = prediction.top_k if prediction else []
    return item, make_choices(labels, row.guess, top_k, said)


def make_choices(
    labels: Sequence[str], guess: str, top_k: Sequence[Mapping[str, Any]], said: Sequence[str]
) -> list[ClassChoice]:
    """Offer the classes that a picture may show.

    Args:
        labels: the model's classes; their order, and so their keys, is the same for every item.
        guess: the model's answer.
        top_k: the most probable classes and their probabilities.
        said: what callers say that it shows.

    Returns:
        The classes, then those that only this item knows.
    """
    probabilities = {str(entry["label"]): float(entry["probability"]) for entry in top_k}
    known = list(dict.fromkeys([*labels, guess, *probabilities, *said]))
    return [
        ClassChoice(
            label=label,
            key=_KEYS[place] if place < len(_KEYS) else "",
            is_guess=label == guess,
            probability=probabilities.get(label),
        )
        for place, label in enumerate(known)
    ]


async def _find_undo(session: AsyncSession, request_id: str, actor: str) -> Undo | None:
    try:
        row = await review.find_item(session, request_id)
    except NotFoundError:
        return None
    is_settled = row.status in {ReviewStatus.DECIDED, ReviewStatus.DISCARDED}
    if not is_settled or row.decided_by != actor or row.span is not None:
        return None
    return Undo(request_id=row.request_id, label=row.decided_label or "")
