import datetime
import itertools

import pytest

from serving.gateway.database.engine import reading, writing
from serving.gateway.database.feedback import save_feedback
from serving.gateway.database.predictions import (
    MAX_PAGE_ITEMS,
    count_traffic,
    list_predictions,
    share_of_versions,
    write_records,
)
from serving.gateway.errors import BadRequestError
from serving.gateway.records import Route

pytestmark = pytest.mark.anyio
NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


async def write(engine, *records):
    async with writing(engine) as session:
        await write_records(session, records)


async def read_pages(engine, key_id, limit):
    pages, cursor = [], None
    while True:
        async with reading(engine) as session:
            page = await list_predictions(session, key_id, cursor=cursor, limit=limit)
        pages.append([item.request_id for item in page.items])
        cursor = page.next_cursor
        if cursor is None:
            return pages


async def test_a_history_is_paged_newest_first_and_is_only_ones_own(engine, make_record):
    # Equal moments: the id decides, and nothing is left out or shown twice between pages.
    moments = [NOW, NOW, NOW, NOW + datetime.timedelta(microseconds=1), NOW]
    own = [make_record(created_at=moment) for moment in moments]
    await write(engine, *own, make_record(key_id="lk_other"))
    expected = sorted(own, key=lambda record: (record.created_at, record.request_id), reverse=True)
    pages = await read_pages(engine, "lk_seller", 2)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [*itertools.chain(*pages)] == [record.request_id for record in expected]
    assert [len(page) for page in await read_pages(engine, "lk_seller", 5)] == [5]
    assert await read_pages(engine, "lk_nobody", 5) == [[]]


async def test_a_history_shows_ones_own_feedback(engine, make_record):
    record = make_record()
    await write(engine, record)
    async with writing(engine) as session:
        await save_feedback(
            session, request_id=record.request_id, key_id=record.key_id, label="jar"
        )
    async with reading(engine) as session:
        (item,) = (await list_predictions(session, record.key_id)).items
    assert (item.feedback, item.label, item.created_at) == ("jar", "mug", record.created_at)


@pytest.mark.parametrize(
    "cursor",
    ["x", "Zm9v", "' OR 1=1", "\0", "ü", "MjAyNi0xMS0yMVQxMjowMDowMCswMDowMHw", "A" * 5000],
)
async def test_a_cursor_that_no_page_gave_is_refused(engine, cursor):
    async with reading(engine) as session:
        with pytest.raises(BadRequestError, match="cursor"):
            await list_predictions(session, "lk_seller", cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, MAX_PAGE_ITEMS + 1])
async def test_a_limit_out_of_range_is_refused(engine, limit):
    async with reading(engine) as session:
        with pytest.raises(BadRequestError, match="limit"):
            await list_predictions(session, "lk_seller", limit=limit)


async def test_traffic_is_counted_by_version_and_route(engine, make_record):
    old = make_record(created_at=NOW - datetime.timedelta(hours=2))
    records = [
        make_record(created_at=NOW, model_version=2, probability=0.5, needs_review=True),
        make_record(created_at=NOW, model_version=2, probability=0.7),
        make_record(created_at=NOW, model_version=3, route=Route.CANARY),
        make_record(created_at=NOW, model_version=4, route=Route.SHADOW),
        make_record(created_at=NOW, model_version=0, route=Route.FALLBACK_DEFAULT),
    ]
    await write(engine, old, *records)
    async with reading(engine) as session:
        traffic = await count_traffic(session, NOW - datetime.timedelta(hours=1))
    counts = [(entry.model_version, entry.route, entry.num_predictions) for entry in traffic]
    assert counts == [
        (4, Route.SHADOW, 1),
        (3, Route.CANARY, 1),
        (2, Route.STABLE, 2),
        (0, Route.FALLBACK_DEFAULT, 1),
    ]
    assert traffic[2].num_for_review == 1
    assert traffic[2].mean_probability == pytest.approx(0.6)
    assert share_of_versions(traffic) == {3: 0.25, 2: 0.5, 0: 0.25}
    assert share_of_versions([]) == {}
