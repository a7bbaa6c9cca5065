"""The review queue, on a running console."""

import html
import re

import pytest
import sqlalchemy as sa

from serving.gateway.console.pages.review import make_choices
from serving.gateway.database.engine import reading, writing
from serving.gateway.database.tables import AuditRow, ReviewItemRow

HOSTILE = "<script>document.title='owned'</script>"


@pytest.fixture
def client(console):
    return console.client("admin")


@pytest.fixture
def reading_client(shared_console):
    """For tests that change nothing."""
    return shared_console.client("admin")


def see(client, path="/console/review"):
    """What the page shows: the item, the token and the page itself."""
    page = client.get(path)
    assert page.status_code == 200, page.text
    item = re.search(r'id="review-image" src="/console/review/([0-9a-f]{32})/image"', page.text)
    token = re.search(r'name="form_token" value="([0-9a-f]{64})"', page.text).group(1)
    return item and item.group(1), token, page.text


def settle(client, item, token, **fields):
    return client.post(f"/console/review/{item}", data={"form_token": token} | fields)


def read_row(console, item):
    async def read():
        async with reading(console.parts.engine) as session:
            return await session.get(ReviewItemRow, item)

    return console.run(read())


def test_a_decision_is_stored_with_its_author_and_the_next_item_comes(console, client):
    item, token, page = see(client)
    assert "<bdi>mug</bdi>" in page
    answer = settle(client, item, token, action="decide", label="teapot")
    following, _, page = see(client, answer.headers["location"])
    assert following != item
    assert "Labelled <bdi><strong>teapot" in page
    row = read_row(console, item)
    assert (row.status, row.decided_label) == ("decided", "teapot")
    assert row.decided_by == console.keys["admin"].split("_")[1]


def test_a_decision_can_be_taken_back(console, client):
    item, token, _ = see(client)
    done = settle(client, item, token, action="decide", label="teapot")
    assert 'value="reopen"' in client.get(done.headers["location"]).text
    assert settle(client, item, token, action="reopen").status_code == 303
    again, _, page = see(client)
    assert again == item
    assert 'value="reopen"' not in page
    assert read_row(console, item).decided_label is None


def test_nobody_is_offered_to_take_back_what_another_decided(console, client):
    item, token, _ = see(client)
    settle(client, item, token, action="discard")

    async def rename():
        async with writing(console.parts.engine) as session:
            await session.execute(sa.update(ReviewItemRow).values(decided_by="another"))

    console.run(rename())
    assert 'value="reopen"' not in client.get(f"/console/review?done={item}").text


def test_what_was_decided_meanwhile_is_a_conflict(client):
    item, token, _ = see(client)
    settle(client, item, token, action="discard")
    answer = settle(client, item, token, action="decide", label="mug")
    assert answer.status_code == 409
    assert "has changed meanwhile" in answer.text


def test_changes_are_in_the_audit_log(console, client):
    item, token, _ = see(client)
    settle(client, item, token, action="decide", label="jar")
    settle(client, item, token, action="reopen")

    async def read():
        async with reading(console.parts.engine) as session:
            query = sa.select(AuditRow.action).where(AuditRow.subject == item)
            return list(await session.scalars(query))

    assert console.run(read()) == ["review.decide", "review.reopen"]
    page = client.get("/console/audit").text
    assert "review.reopen" in page
    assert item in page


def test_skipping_leaves_an_item_for_later(client):
    first, _, page = see(client)
    second, _, _ = see(client, "/console/review?skip=1")
    assert first != second
    assert 'href="/console/review?skip=1"' in page
    assert see(client, "/console/review?skip=99")[0] == first


@pytest.mark.parametrize("skip", ["-1", "x", "1e3", "²", "9" * 400, "9" * 5000])
def test_a_bad_number_to_skip_is_none(reading_client, skip):
    assert reading_client.get("/console/review", params={"skip": skip}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"action": "decide", "label": ""}, 422),
        ({"action": "decide", "label": "../../etc"}, 422),
        ({"action": "decide", "label": "x" * 201}, 422),
        ({"action": "decide", "label": "a\0b"}, 422),
        ({"action": "decide"}, 422),
        ({"action": "drop"}, 400),
        ({}, 400),
    ],
)
def test_bad_decisions_change_nothing(shared_console, reading_client, fields, status):
    item, token, _ = see(reading_client)
    assert settle(reading_client, item, token, **fields).status_code == status
    assert read_row(shared_console, item).status == "waiting"


@pytest.mark.parametrize("item", ["0" * 32, "x", "%2e%2e", "' OR 1=1 --", "%00"])
def test_an_unknown_item_is_not_found(reading_client, item):
    _, token, _ = see(reading_client)
    assert settle(reading_client, item, token, action="discard").status_code == 404
    assert reading_client.get(f"/console/review/{item}/image").status_code == 404


def test_pictures_are_shown_as_nothing_but_pictures(reading_client):
    item, _, _ = see(reading_client)
    answer = reading_client.get(f"/console/review/{item}/image")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"].startswith("private")
    assert answer.content.startswith(b"\x89PNG")


def test_a_hostile_label_is_text(reading_client):
    pages = [reading_client.get(f"/console/review?skip={skip}").text for skip in range(12)]
    assert any(
        html.escape(HOSTILE) in page.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")
        for page in pages
    )
    assert not any(HOSTILE in page for page in pages)


def test_an_empty_queue_says_so(console, client):
    async def clear():
        async with writing(console.parts.engine) as session:
            await session.execute(sa.delete(ReviewItemRow))

    console.run(clear())
    assert "Nothing waits" in client.get("/console/review").text


def test_classes_keep_their_keys_from_item_to_item():
    labels = [f"class {number}" for number in range(40)]
    first = make_choices(labels, "class 3", [], [])
    second = make_choices(labels, "unknown", [{"label": "class 1", "probability": 0.4}], ["new"])
    assert [choice.key for choice in first] == [choice.key for choice in second][:40]
    keys = [choice.key for choice in first if choice.key]
    assert len(keys) == len(set(keys)) == 33
    assert not set(keys) & {"x", "s", "u"}
    assert [choice.label for choice in second][40:] == ["unknown", "new"]
    assert [choice.label for choice in first if choice.is_guess] == ["class 3"]
    assert second[1].probability == 0.4
