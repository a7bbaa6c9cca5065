import datetime
import math
import random

import pytest

from serving.gateway.console.statistics import (
    LATENCY_BOUNDS,
    Cell,
    StatisticsReader,
    count_by_step,
    find_latency,
)
from serving.gateway.console.windows import WINDOWS, find_window
from serving.gateway.database.engine import writing
from serving.gateway.database.feedback import save_feedback
from serving.gateway.database.predictions import write_records


@pytest.mark.anyio
@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
async def test_the_database_counts_as_python_would(engine, make_record, window):
    chance = random.Random(window.name)
    now = datetime.datetime.now(datetime.UTC)
    length = window.num_steps * window.step_seconds
    records = [
        make_record(
            # Half a step away from the edges of whole seconds, which PostgreSQL rounds.
            created_at=(now - datetime.timedelta(seconds=chance.uniform(0, length * 1.2))).replace(
                microsecond=250_000
            ),
            model_version=chance.choice([1, 2]),
            probability=chance.random(),
            latency_ms=chance.lognormvariate(3, 1),
            needs_review=chance.random() < 0.3,
        )
        for _ in range(400)
    ]
    async with writing(engine) as session:
        await write_records(session, records)
    statistics = await StatisticsReader(engine).read(window)
    inside = [record for record in records if record.created_at.timestamp() >= statistics.start]
    assert 250 < len(inside) < 400
    for version in (1, 2):
        cells = [cell for cell in statistics.cells if cell.version == version]
        expected = [0] * window.num_steps
        mine = [record for record in inside if record.model_version == version]
        for record in mine:
            step = (record.created_at.timestamp() - statistics.start) // window.step_seconds
            expected[min(int(step), window.num_steps - 1)] += 1
        assert count_by_step(cells, window.num_steps) == expected
        assert sum(cell.reviews for cell in cells) == sum(record.needs_review for record in mine)
        assert math.isclose(
            sum(cell.probability for cell in cells), sum(record.probability for record in mine)
        )
        confident = sum(record.probability >= 0.9 for record in mine)
        assert sum(cell.count for cell in cells if cell.confidence_bin == 9) == confident


@pytest.mark.anyio
async def test_feedback_is_counted_by_version(engine, make_record):
    records = [make_record(model_version=version) for version in (7, 7, 7, 8)]
    async with writing(engine) as session:
        await write_records(session, records)
        for record, label in zip(records, ["mug", "mug", "jar", "jar"], strict=True):
            await save_feedback(
                session, request_id=record.request_id, key_id=record.key_id, label=label
            )
    statistics = await StatisticsReader(engine).read(find_window("1h"))
    assert {key: (one.count, one.right) for key, one in statistics.feedback.items()} == {
        7: (3, 2),
        8: (1, 0),
    }


@pytest.mark.anyio
async def test_viewers_of_the_same_seconds_share_one_query(engine, make_record):
    reader = StatisticsReader(engine)
    first = await reader.read(find_window("1h"))
    async with writing(engine) as session:
        await write_records(session, [make_record()])
    assert await reader.read(find_window("1h")) is first
    assert len((await reader.read(find_window("15m"))).cells) == 1


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
def test_latencies_are_right_to_a_quarter(quantile):
    chance = random.Random(2)
    latencies = sorted(chance.lognormvariate(3, 0.8) for _ in range(5000))
    cells = [
        Cell(0, 1, "stable", sum(latency > bound for bound in LATENCY_BOUNDS), 5, 1, 0, 0.5)
        for latency in latencies
    ]
    exact = latencies[int(quantile * len(latencies))]
    assert exact / 1.25 < find_latency(cells, quantile) < exact * 1.25


def test_the_latency_of_nothing_is_nothing():
    assert find_latency([], 0.5) is None


def test_answers_slower_than_every_bin_are_slow():
    assert find_latency([Cell(0, 1, "stable", len(LATENCY_BOUNDS), 5, 1, 0, 0.5)], 0.5) > 7000
