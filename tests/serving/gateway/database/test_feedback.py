import pytest
from sqlalchemy import select

from serving.gateway.database.engine import reading, writing
from serving.gateway.database.feedback import save_feedback
from serving.gateway.database.predictions import write_records
from serving.gateway.database.review import decide, find_item, read_image
from serving.gateway.database.tables import FeedbackRow, PredictionRow, ReviewItemRow
from serving.gateway.errors import NotFoundError, UnprocessableError

pytestmark = pytest.mark.anyio


async def write(engine, *records):
    async with writing(engine) as session:
        await write_records(session, records)


async def say(engine, record, label, **options):
    async with writing(engine) as session:
        options = {"key_id": record.key_id, **options}
        return await save_feedback(session, request_id=record.request_id, label=label, **options)


async def read_all(engine, row):
    async with reading(engine) as session:
        return (await session.scalars(select(row))).all()


async def test_a_later_word_replaces_an_earlier_one(engine, make_record):
    record = make_record()
    await write(engine, record)
    assert await say(engine, record, "mug") is True
    assert await say(engine, record, "jar", comment="it has a lid") is False
    (row,) = await read_all(engine, FeedbackRow)
    assert (row.label, row.comment) == ("jar", "it has a lid")


async def test_praise_lets_nothing_wait(engine, make_record):
    record = make_record()
    await write(engine, record)
    await say(engine, record, "mug", image=b"PNG")
    assert await read_all(engine, ReviewItemRow) == []


async def test_a_complaint_lets_the_picture_wait(engine, make_record):
    record = make_record(label="other", model_label="mug")
    await write(engine, record)
    await say(engine, record, "jar", image=b"PNG")
    async with reading(engine) as session:
        item = await find_item(session, record.request_id)
        assert (item.status, item.reasons, item.guess) == ("waiting", ["complaint"], "mug")
        assert await read_image(session, record.request_id) == b"PNG"


async def test_a_complaint_joins_what_waits_already(engine, make_record):
    record = make_record(
        needs_review=True, review_reasons=["small_margin"], review_image=b"original"
    )
    await write(engine, record)
    for _ in range(2):
        await say(engine, record, "jar", image=b"another")
    async with reading(engine) as session:
        assert (await find_item(session, record.request_id)).reasons == [
            "small_margin",
            "complaint",
        ]
        assert await read_image(session, record.request_id) == b"original"


async def test_a_complaint_changes_no_decision(engine, make_record):
    record = make_record(needs_review=True)
    await write(engine, record)
    async with writing(engine) as session:
        await decide(session, record.request_id, label="mug", actor="lk_admin")
    await say(engine, record, "jar")
    async with reading(engine) as session:
        item = await find_item(session, record.request_id)
    assert (item.status, item.decided_label, item.reasons) == ("decided", "mug", [])


async def test_a_picture_given_again_revives_an_expired_item(engine, make_record):
    record = make_record(needs_review=True)
    await write(engine, record)
    async with writing(engine) as session:
        (await find_item(session, record.request_id)).status = "expired"
    await say(engine, record, "jar")
    async with reading(engine) as session:
        assert (await find_item(session, record.request_id)).status == "expired"
    await say(engine, record, "jar", image=b"PNG")
    async with reading(engine) as session:
        assert (await find_item(session, record.request_id)).status == "waiting"


async def test_predictions_of_others_look_like_none(engine, make_record):
    record = make_record()
    await write(engine, record)
    with pytest.raises(NotFoundError) as others:
        await say(engine, record, "jar", key_id="lk_thief")
    with pytest.raises(NotFoundError) as none:
        await say(engine, make_record(request_id="0" * 32), "jar", key_id="lk_thief")
    assert str(others.value).replace(record.request_id, "0" * 32) == str(none.value)
    assert await read_all(engine, FeedbackRow) == []


async def test_feedback_overtakes_the_record(engine, make_record):
    record = make_record(needs_review=True, review_reasons=["small_margin"], review_image=b"PNG")
    assert await say(engine, record, "jar", pending=record) is False
    await write(engine, record)  # the recorder's turn
    assert len(await read_all(engine, PredictionRow)) == 1
    (item,) = await read_all(engine, ReviewItemRow)
    assert item.reasons == ["small_margin", "complaint"]


async def test_a_pending_record_of_another_is_not_shown(engine, make_record):
    record = make_record()
    with pytest.raises(NotFoundError):
        await say(engine, record, "jar", pending=record, key_id="lk_thief")
    assert await read_all(engine, PredictionRow) == []


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("", "has 0 characters"),
        ("x" * 201, "has 201 characters"),
        ("杯" * 100, "has 300 bytes"),
        ("a\0b", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("\ud800", "cannot be printed"),
        ("../../etc/passwd", "slash"),
        ("..\\x", "slash"),
        ("..", "begins with a dot"),
        (".hidden", "begins with a dot"),
        (" mug", "blank"),
        ("mug ", "blank"),
        ("Train", "name of a split"),
        ("provenance.jsonl", "name of a file that stands beside"),
    ],
)
async def test_text_that_cannot_name_a_class_is_refused(engine, make_record, label, words):
    record = make_record()
    await write(engine, record)
    with pytest.raises(UnprocessableError, match=words):
        await say(engine, record, label)


async def test_a_comment_that_cannot_be_stored_is_refused(engine, make_record):
    record = make_record()
    await write(engine, record)
    with pytest.raises(UnprocessableError, match="NUL"):
        await say(engine, record, "jar", comment="a\0b")
    nasty = "'); DROP TABLE feedback; -- \u202e<script>"
    await say(engine, record, "jar", comment=nasty)
    assert [row.comment for row in await read_all(engine, FeedbackRow)] == [nasty]
