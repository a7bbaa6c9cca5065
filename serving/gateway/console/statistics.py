"""What the prediction log says about a stretch of time; counted by the database, read by nobody."""

import asyncio
import dataclasses
import datetime
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from serving.gateway.console.windows import Window
from serving.gateway.database.engine import reading
from serving.gateway.database.tables import FeedbackRow, PredictionRow

_GROWTH: Final = 1.25
LATENCY_BOUNDS: Final = tuple(round(_GROWTH**power, 3) for power in range(1, 41))
"""Upper ends of the latency bins, milliseconds: 1.25 to 7,523, each a quarter above the last."""
CONFIDENCE_BINS: Final = 10
_CACHE_SECONDS: Final = 4.0


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """Predictions of one version and route, in one step, of one latency and confidence.

    Attributes:
        step: place of the step in the window, 0 first.
        version: model version; 0 for a fallback.
        route: which model answered.
        latency_bin: place in `LATENCY_BOUNDS`; one past its end for slower answers.
        confidence_bin: tenth of the probability, 0..9.
        count: how many predictions.
        reviews: how many of them a human should see.
        probability: sum of their probabilities.
    """

    step: int
    version: int
    route: str
    latency_bin: int
    confidence_bin: int
    count: int
    reviews: int
    probability: float


@dataclasses.dataclass(frozen=True, slots=True)
class Feedback:
    """What callers said about one version's answers.

    Attributes:
        count: answers that somebody judged.
        right: those whose label was confirmed.
    """

    count: int
    right: int


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """One window of the prediction log.

    Attributes:
        window: the window.
        start: when it begins, seconds since 1970.
        cells: the counts.
        feedback: by model version.
    """

    window: Window
    start: int
    cells: Sequence[Cell]
    feedback: Mapping[int, Feedback]


class StatisticsReader:
    """Reads statistics, and lets everybody who looks within a few seconds share one query."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Remember where to ask.

        Args:
            engine: the database.
        """
        self._engine = engine
        self._lock = asyncio.Lock()
        self._recent: dict[str, tuple[float, Statistics]] = {}

    async def read(self, window: Window) -> Statistics:
        """Count the predictions of a window that ends now.

        Args:
            window: the window.

        Returns:
            Its statistics, at most a few seconds old.
        """
        async with self._lock:
            made_at, statistics = self._recent.get(window.name, (0.0, None))
            if statistics is None or time.monotonic() - made_at > _CACHE_SECONDS:
                statistics = await self._query(window)
                self._recent[window.name] = (time.monotonic(), statistics)
            return statistics

    async def _query(self, window: Window) -> Statistics:
        start = window.start(datetime.datetime.now(datetime.UTC))
        since = datetime.datetime.fromtimestamp(start, datetime.UTC)
        async with reading(self._engine) as session:
            cells = (await session.execute(_count_cells(window, start, since))).all()
            feedback = (await session.execute(_count_feedback(since))).all()
        return Statistics(
            window=window,
            start=start,
            cells=[_to_cell(row, window) for row in cells],
            feedback={
                version: Feedback(count=int(count), right=int(right))
                for version, count, right in feedback
            },
        )


def _count_cells(
    window: Window, start: int, since: datetime.datetime
) -> sa.Select[int, int, str, Any, Any, int, Any, float]:
    row = PredictionRow
    second = sa.cast(sa.extract("epoch", row.created_at), sa.BigInteger)
    step = ((second - start) // window.step_seconds).label("step")
    latency = sa.case(
        *((row.latency_ms <= bound, place) for place, bound in enumerate(LATENCY_BOUNDS)),
        else_=len(LATENCY_BOUNDS),
    ).label("latency_bin")
    confidence = sa.case(
        *(
            (row.probability < (place + 1) / CONFIDENCE_BINS, place)
            for place in range(CONFIDENCE_BINS - 1)
        ),
        else_=CONFIDENCE_BINS - 1,
    ).label("confidence_bin")
    return (
        sa
        .select(
            step,
            row.model_version,
            row.route,
            latency,
            confidence,
            sa.func.count(),
            sa.func.sum(sa.case((row.needs_review, 1), else_=0)),
            sa.func.sum(row.probability),
        )
        .where(row.created_at >= since)
        # By the names of the columns: bound values would make two expressions of one.
        .group_by(
            sa.text("step"),
            row.model_version,
            row.route,
            sa.text("latency_bin"),
            sa.text("confidence_bin"),
        )
    )


def _count_feedback(since: datetime.datetime) -> sa.Select[int, int, Any]:
    is_right = sa.case((FeedbackRow.label == PredictionRow.label, 1), else_=0)
    return (
        sa
        .select(PredictionRow.model_version, sa.func.count(), sa.func.sum(is_right))
        .join(FeedbackRow, FeedbackRow.request_id == PredictionRow.request_id)
        .where(PredictionRow.created_at >= since)
        .group_by(PredictionRow.model_version)
    )


def _to_cell(row: Sequence[Any], window: Window) -> Cell:
    step, version, route, latency_bin, confidence_bin, count, reviews, probability = row
    return Cell(
        # PostgreSQL rounds to whole seconds, and clocks of writers differ: stay inside the window.
        step=min(max(int(step), 0), window.num_steps - 1),
        version=int(version),
        route=str(route),
        latency_bin=int(latency_bin),
        confidence_bin=int(confidence_bin),
        count=int(count),
        reviews=int(reviews),
        probability=float(probability),
    )


def count_by_step(cells: Iterable[Cell], num_steps: int) -> list[int]:
    """Count predictions step by step.

    Args:
        cells: what to count.
        num_steps: steps of the window.

    Returns:
        One count a step.
    """
    counts = [0] * num_steps
    for cell in cells:
        counts[cell.step] += cell.count
    return counts


def find_latency(cells: Iterable[Cell], quantile: float) -> float | None:
    """Estimate a quantile of the latency.

    Args:
        cells: the predictions.
        quantile: 0..1.

    Returns:
        Milliseconds, exact to within a bin's width (a quarter); None without predictions.
    """
    counts = [0] * (len(LATENCY_BOUNDS) + 1)
    for cell in cells:
        counts[cell.latency_bin] += cell.count
    total = sum(counts)
    if not total:
        return None
    rank = quantile * total
    for place, below in enumerate(itertools.accumulate(counts)):
        if below >= rank and counts[place]:
            lower = LATENCY_BOUNDS[place - 1] if place else 0.0
            upper = LATENCY_BOUNDS[place] if place < len(LATENCY_BOUNDS) else lower * _GROWTH
            return upper - (upper - lower) * (below - rank) / counts[place]
    return LATENCY_BOUNDS[-1]


def group_by_step(cells: Iterable[Cell], num_steps: int) -> list[list[Cell]]:
    """Sort cells into their steps.

    Args:
        cells: the cells.
        num_steps: steps of the window.

    Returns:
        The cells of each step.
    """
    groups: list[list[Cell]] = [[] for _ in range(num_steps)]
    for cell in cells:
        groups[cell.step].append(cell)
    return groups
