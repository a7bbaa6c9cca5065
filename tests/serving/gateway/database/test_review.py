import asyncio
import datetime

import pytest

from serving.gateway.database.audit import list_audit
from serving.gateway.database.engine import reading, writing
from serving.gateway.database.predictions import write_records
from serving.gateway.database.review import (
    count_by_status,
    decide,
    discard,
    find_item,
    list_waiting,
    read_image,
    reopen,
)
from serving.gateway.errors import ConflictError, NotFoundError, UnprocessableError
from serving.gateway.records import ReviewStatus

pytestmark = pytest.mark.anyio
NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)


@pytest.fixture
async def items(engine, make_record):
    """Three waiting items, the oldest first."""
    records = [
        make_record(
            created_at=NOW + datetime.timedelta(minutes=number),
            needs_review=True,
            review_image=b"PNG %d" % number,
        )
        for number in range(3)
    ]
    async with writing(engine) as session:
        await write_records(session, [*records[::-1], make_record()])
    return [record.request_id for record in records]


async def change(engine, function, *arguments, **options):
    async with writing(engine) as session:
        await function(session, *arguments, actor="lk_admin", **options)


async def waiting_ids(engine, **options):
    async with reading(engine) as session:
        return [item.request_id for item in await list_waiting(session, **options)]


async def test_the_oldest_waits_first(engine, items):
    assert await waiting_ids(engine) == items
    assert await waiting_ids(engine, limit=1, offset=1) == items[1:2]


async def test_a_decided_item_waits_no_more(engine, items):
    await change(engine, decide, items[0], label="jar")
    await change(engine, discard, items[1])
    assert await waiting_ids(engine) == items[2:]
    async with reading(engine) as session:
        item = await find_item(session, items[0])
        counts = await count_by_status(session)
        audit = await list_audit(session)
    assert (item.status, item.decided_label, item.decided_by) == ("decided", "jar", "lk_admin")
    assert counts == {
        ReviewStatus.WAITING: 1,
        ReviewStatus.DECIDED: 1,
        ReviewStatus.DISCARDED: 1,
        ReviewStatus.EXPIRED: 0,
    }
    assert [(entry.action, entry.subject, entry.details) for entry in audit] == [
        ("review.discard", items[1], {"label": None}),
        ("review.decide", items[0], {"label": "jar"}),
    ]


async def test_of_two_who_decide_one_is_told(engine, items):
    outcomes = await asyncio.gather(
        *(change(engine, decide, items[0], label=label) for label in ("jar", "cup", "mug")),
        return_exceptions=True,
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "ConflictError",
        "ConflictError",
        "NoneType",
    ]
    async with reading(engine) as session:
        assert len(await list_audit(session)) == 1


async def test_a_decision_can_be_taken_back(engine, items):
    for function, options in ((decide, {"label": "jar"}), (discard, {})):
        await change(engine, function, items[0], **options)
        await change(engine, reopen, items[0])
        assert await waiting_ids(engine) == items
        async with reading(engine) as session:
            item = await find_item(session, items[0])
            assert (item.decided_label, item.decided_by, item.decided_at) == (None, None, None)
            assert await read_image(session, items[0]) == b"PNG 0"


async def test_what_is_training_data_stays_decided(engine, items):
    await change(engine, decide, items[0], label="jar")
    async with writing(engine) as session:
        (await find_item(session, items[0])).span = 7
    with pytest.raises(ConflictError, match=r"it is decided and is in span-7"):
        await change(engine, reopen, items[0])


async def test_items_that_do_not_exist_are_named(engine, items):
    for function, options in ((decide, {"label": "jar"}), (discard, {}), (reopen, {})):
        with pytest.raises(NotFoundError, match="no review item 'f00'"):
            await change(engine, function, "f00", **options)
    async with reading(engine) as session:
        with pytest.raises(NotFoundError, match="no picture of 'f00'"):
            await read_image(session, "f00")


@pytest.mark.parametrize("text", ["\0", "a" * 31 + "\0", "", "\ud800", "x" * 5000])
async def test_text_that_no_database_can_look_for_is_no_item(engine, items, text):
    for function, options in ((decide, {"label": "jar"}), (discard, {}), (reopen, {})):
        with pytest.raises(NotFoundError):
            await change(engine, function, text, **options)
    async with reading(engine) as session:
        for function in (read_image, find_item):
            with pytest.raises(NotFoundError):
                await function(session, text)


async def test_a_label_that_leaves_the_folder_is_refused(engine, items):
    with pytest.raises(UnprocessableError, match="slash"):
        await change(engine, decide, items[0], label="../../etc")
    assert await waiting_ids(engine) == items


async def test_a_change_that_fails_leaves_no_audit(engine, items):
    await change(engine, discard, items[0])
    with pytest.raises(ConflictError):
        await change(engine, discard, items[0])
    async with reading(engine) as session:
        audit = await list_audit(session)
        assert len(audit) == 1
        assert await list_audit(session, before_id=audit[0].audit_id) == []
