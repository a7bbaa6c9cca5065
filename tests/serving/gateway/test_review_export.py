import asyncio
import hashlib
import json
import random
import subprocess
import sys

import pytest
from sqlalchemy import select

from configs.errors import DataError
from data.sources import find_spans, list_images
from serving.gateway import review_export
from serving.gateway.database.audit import list_audit
from serving.gateway.database.engine import reading, writing
from serving.gateway.database.locks import exclusive
from serving.gateway.database.predictions import write_records
from serving.gateway.database.review import decide, discard, find_item, reopen
from serving.gateway.database.tables import ReviewItemRow
from serving.gateway.errors import ConflictError
from serving.gateway.review_export import export_reviews

pytestmark = pytest.mark.anyio


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def make_decided(engine, make_record, draw_photo, encode):
    """Function of labels that puts one decided item each into the database; returns their ids."""

    async def make_decided(*labels):
        ids = []
        async with writing(engine) as session:
            for number, label in enumerate(labels):
                image = encode(draw_photo(8 + number % 50, 12), "PNG")
                record = make_record(
                    needs_review=True, review_reasons=["small_margin"], review_image=image
                )
                await write_records(session, [record])
                await decide(session, record.request_id, label=label, actor="lk_admin")
                ids.append(record.request_id)
        return ids

    return make_decided


async def export(engine, data):
    return await export_reviews(engine, data, actor="command:test")


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_decided_items_become_the_first_span(engine, data, make_decided):
    ids = await make_decided("jar", "mug", "jar")
    done = await export(engine, data)
    assert (done.folder, done.labels, done.num_recovered) == (
        data / "span-1",
        {"jar": 2, "mug": 1},
        0,
    )
    expected = [f"jar/{ids[0]}.png", f"mug/{ids[1]}.png", f"jar/{ids[2]}.png", "provenance.jsonl"]
    assert files_of(data / "span-1") == sorted(expected)
    images = {image.source: (image.label, image.span) for image in list_images(data)}
    assert images == {
        f"span-1/{label}/{request_id}.png": (label, 1)
        for label, request_id in zip(("jar", "mug", "jar"), ids, strict=True)
    }


async def test_provenance_says_where_each_picture_is_from(engine, data, make_decided):
    (request_id,) = await make_decided("jar")
    await export(engine, data)
    (line,) = (data / "span-1" / "provenance.jsonl").read_text().splitlines()
    entry = json.loads(line)
    picture = (data / "span-1" / entry["file"]).read_bytes()
    assert entry["sha256"] == hashlib.sha256(picture).hexdigest()
    assert {name: entry[name] for name in ("request_id", "label", "guess", "model_version")} == {
        "request_id": request_id,
        "label": "jar",
        "guess": "mug",
        "model_version": 1795268425,
    }
    assert (entry["image_width"], entry["image_height"]) == (224, 160)  # not of what was kept
    assert (entry["decided_by"], entry["reasons"]) == ("lk_admin", ["small_margin"])
    async with reading(engine) as session:
        item = await find_item(session, request_id)
        assert item.span == 1
        assert await session.scalar(select(ReviewItemRow.image)) is None
        (newest, _) = await list_audit(session)
    assert (newest.action, newest.subject, newest.details) == (
        "review.export",
        "span-1",
        {"pictures": 1},
    )


@pytest.mark.parametrize("line", ["{", "[]", "7", '{"request_id": "00"}', '{"label": "jar"}'])
async def test_provenance_that_cannot_be_read_is_named(engine, data, make_decided, line):
    await make_decided("jar", "mug")
    await export(engine, data)
    with (data / "span-1" / "provenance.jsonl").open("a") as file:
        file.write(f"{line}\n")
    await make_decided("jar")
    with pytest.raises(DataError, match="span-1/provenance.jsonl' is no provenance as an export"):
        await export(engine, data)
    assert not (data / "span-2").exists()


async def test_later_decisions_become_the_next_span(engine, data, make_decided):
    await make_decided("jar", "mug")
    await export(engine, data)
    assert (await export(engine, data)).folder is None
    await make_decided("mug")
    assert (await export(engine, data)).folder == data / "span-2"
    assert find_spans(data) == [1, 2]
    assert [image.span for image in list_images(data)] == [1, 1, 2]


async def test_the_span_follows_the_spans_of_the_data(
    engine, data, make_decided, encode, draw_photo
):
    for label in ("jar", "mug"):
        folder = data / "span-41" / "train" / label
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(encode(draw_photo(9, 9), "PNG"))
    await make_decided("mug")
    assert (await export(engine, data)).folder == data / "span-42"
    assert len(list_images(data)) == 3


async def test_only_what_is_decided_goes(engine, data, make_decided):
    ids = await make_decided("jar", "mug", "cup")
    async with writing(engine) as session:
        for request_id in ids[1:]:
            await reopen(session, request_id, actor="lk_admin")
        await discard(session, ids[2], actor="lk_admin")
    assert (await export(engine, data)).labels == {"jar": 1}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["jar/1.png"], "outside of spans"),
        (["manifest.csv"], "outside of spans"),
        (["span-1/jar/1.png", "mug/1.png"], "mixes span folders"),
    ],
)
async def test_a_folder_of_something_else_is_refused(engine, data, make_decided, files, words):
    await make_decided("jar")
    for name in files:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b"x")
    with pytest.raises(DataError, match=words):
        await export(engine, data)
    assert [name for name in files_of(data) if not name.startswith(".")] == sorted(files)


async def test_a_decision_changed_while_files_are_written_waits_for_the_next_span(
    engine, data, make_decided, monkeypatch
):
    ids = await make_decided("jar", "mug", "cup")
    write_pictures = review_export._write_pictures

    async def change_meanwhile(*arguments):
        written = await write_pictures(*arguments)
        async with writing(engine) as session:
            for request_id in ids[:2]:
                await reopen(session, request_id, actor="lk_admin")
            await decide(session, ids[0], label="bowl", actor="lk_admin")
        return written

    monkeypatch.setattr(review_export, "_write_pictures", change_meanwhile)
    assert (await export(engine, data)).labels == {"cup": 1}
    assert files_of(data / "span-1") == [f"cup/{ids[2]}.png", "provenance.jsonl"]
    monkeypatch.undo()
    assert (await export(engine, data)).labels == {"bowl": 1}
    assert sorted(path.name for path in (data / "span-1").iterdir()) == ["cup", "provenance.jsonl"]


async def test_an_export_that_ended_before_it_noted_so_is_recovered(
    engine, data, make_decided, monkeypatch
):
    ids = await make_decided("jar", "mug")
    publish = review_export._publish

    def publish_and_fail(*arguments):
        publish(*arguments)
        raise OSError("the machine went away")

    monkeypatch.setattr(review_export, "_publish", publish_and_fail)
    with pytest.raises(DataError, match="the machine went away"):
        await export(engine, data)
    monkeypatch.undo()
    done = await export(engine, data)
    assert (done.folder, done.num_recovered) == (None, 2)
    async with reading(engine) as session:
        assert [(await find_item(session, each)).span for each in ids] == [1, 1]
    assert len(list_images(data)) == 2


async def test_a_span_that_appears_meanwhile_is_not_touched(
    engine, data, make_decided, monkeypatch
):
    await make_decided("jar")
    publish = review_export._publish

    def publish_late(partial, final, entries):
        (final / "mug").mkdir(parents=True)
        (final / "mug" / "1.png").touch()
        publish(partial, final, entries)

    monkeypatch.setattr(review_export, "_publish", publish_late)
    with pytest.raises(DataError, match="not empty"):
        await export(engine, data)
    monkeypatch.undo()
    assert files_of(data / "span-1") == ["mug/1.png"]
    assert (await export(engine, data)).folder == data / "span-2"


async def test_two_exports_at_once_are_told_apart(engine, data, make_decided):
    await make_decided("jar")
    async with exclusive(engine, "review-export"):
        with pytest.raises(ConflictError, match="another export runs"):
            await export(engine, data)


EXPORT = """
import asyncio, sys
from pathlib import Path
from serving.gateway.database.engine import create_engine
from serving.gateway.review_export import export_reviews
print("ready", flush=True)
asyncio.run(export_reviews(create_engine(sys.argv[1]), Path(sys.argv[2]), actor="test"))
"""


async def test_killed_exports_lose_nothing_and_export_nothing_twice(
    database_url, engine, data, make_decided
):
    ids, chance = [], random.Random(7)
    for _ in range(6):
        ids += await make_decided(*(f"class {number % 7}" for number in range(40)))
        process = subprocess.Popen(
            [sys.executable, "-c", EXPORT, database_url, str(data)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        await asyncio.sleep(chance.uniform(0.05, 0.5))
        process.kill()
        process.wait()
        assert all((span / "provenance.jsonl").exists() for span in data.glob("span-*"))
    await export(engine, data)
    exported = [image.path.stem for image in list_images(data)]
    assert sorted(exported) == sorted(ids)
    async with reading(engine) as session:
        spans = {row.request_id: row.span for row in await session.scalars(select(ReviewItemRow))}
    assert spans == {image.path.stem: image.span for image in list_images(data)}
    assert not [path for path in data.iterdir() if "partial" in path.name]
