import json
import os

import pytest

from configs.errors import DataError
from data.buckets import BucketPath
from data.sources import find_spans, fingerprint, list_images
from schema.features import Split


def facts(images):
    return [(image.source, image.label, image.split, image.span) for image in images]


def test_a_folder_per_class_leaves_the_split_open(grow):
    root = grow("mug/b.jpg", "mug/deep/a.jpg", "hat/c.png", "README.md", "mug/notes.txt")
    assert facts(list_images(root)) == [
        ("hat/c.png", "hat", None, 1),
        ("mug/b.jpg", "mug", None, 1),
        ("mug/deep/a.jpg", "mug", None, 1),
    ]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "validation", "test"), [Split.TEST, Split.TRAIN, Split.VALIDATION]),
        (("Training", "valid", "testing"), [Split.TRAIN, Split.TEST, Split.VALIDATION]),
        (("train", "dev"), [Split.VALIDATION, Split.TRAIN]),
        (("train", "eval"), [Split.VALIDATION, Split.TRAIN]),
        (("train",), [Split.TRAIN]),
    ],
)
def test_split_folders_name_the_split(grow, names, splits):
    root = grow(*(f"{name}/{label}/1.jpg" for name in names for label in ("hat", "mug")))
    images = list_images(root)
    assert [image.split for image in images[::2]] == splits
    assert {image.label for image in images} == {"hat", "mug"}


def test_a_class_may_be_missing_from_one_split(grow):
    root = grow("train/hat/1.jpg", "train/mug/1.jpg", "test/hat/1.jpg")
    (root / "test" / "mug").mkdir()
    assert len(list_images(root)) == 3


@pytest.mark.parametrize("name", ["manifest.csv", "list.csv"])
def test_a_manifest_names_its_images(grow, name):
    root = grow("photos/1.jpg", "photos/2.jpg")
    (root / name).write_text("path,label,split\nphotos/2.jpg,mug,test\nphotos/1.jpg,hat,\n")
    assert facts(list_images(root if name == "manifest.csv" else root / name)) == [
        ("photos/1.jpg", "hat", None, 1),
        ("photos/2.jpg", "mug", Split.TEST, 1),
    ]


def test_spans_may_have_any_layout(grow):
    root = grow("span-1/hat/1.jpg", "span-2/train/mug/1.jpg", "span-10/p/1.jpg")
    (root / "span-10" / "manifest.jsonl").write_text('{"path": "p/1.jpg", "label": "mug"}\n')
    assert facts(list_images(root)) == [
        ("span-1/hat/1.jpg", "hat", None, 1),
        ("span-10/p/1.jpg", "mug", None, 10),
        ("span-2/train/mug/1.jpg", "mug", Split.TRAIN, 2),
    ]
    assert find_spans(root) == [1, 2, 10]
    assert [image.span for image in list_images(root, span=2)] == [1, 2]


def test_without_span_folders_everything_is_span_one(grow):
    root = grow("hat/1.jpg", "mug/1.jpg")
    assert find_spans(root) == [1]
    assert len(list_images(root, span=1)) == 2


def test_a_relative_root_gives_absolute_paths(grow, monkeypatch):
    monkeypatch.chdir(grow("data/hat/1.jpg", "data/mug/1.jpg"))
    images = list_images(type(grow())("data"))
    assert images[0].path.is_absolute()
    assert images[0].source == "hat/1.jpg"


def test_a_name_that_is_not_utf8_still_has_a_source(grow):
    root = grow("hat/1.jpg", "mug/1.jpg")
    (root / "mug" / os.fsdecode(b"\xff.jpg")).touch()
    image = list_images(root)[-1]
    assert image.source == "mug/\\xff.jpg"
    assert image.path.exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds no images"),
        (("hat/notes.txt", "mug/1.jpg"), "class folder '.*hat' holds no image"),
        (("hat/1.jpg",), r"holds one class only \('hat'\), expected at least two"),
        (("hat/1.jpg", "2.jpg"), "holds 1 images outside any class folder .*'2.jpg'"),
        (("train/hat/1.jpg", "train/2.jpg"), "train' holds 1 images outside any class folder"),
        (("train/hat/1.jpg", "2.jpg"), "holds 1 images outside any class folder"),
        (("train/hat/1.jpg", "mug/1.jpg"), r"mixes split folders \('train'\) .* \('mug'\)"),
        (("span-1/hat/1.jpg", "mug/1.jpg"), r"mixes span folders \('span-1'\) .* \('mug'\)"),
        (("test/hat/1.jpg", "test/mug/1.jpg"), "holds no training image"),
        (("manifest.csv", "manifest.jsonl"), "manifest.csv and manifest.jsonl, expected one"),
        (("h\nat/1.jpg", "mug/1.jpg"), r"class name 'h\\nat' .* cannot be printed"),
    ],
)
def test_a_layout_that_cannot_be_read_is_an_error(grow, names, message):
    with pytest.raises(DataError, match=message):
        list_images(grow(*names))


def test_a_span_before_the_first_is_an_error(grow):
    with pytest.raises(DataError, match="holds no images up to span 1"):
        list_images(grow("span-2/hat/1.jpg", "span-2/mug/1.jpg"), span=1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "data path '.*gone' does not exist"),
        ("photos.zip", "is an archive, expected a folder or manifest"),
        ("photo.jpg", r"is a file that ends in '.jpg', expected a manifest"),
    ],
)
def test_a_path_that_is_no_data_is_an_error(grow, name, message):
    root = grow("photos.zip", "photo.jpg")
    with pytest.raises(DataError, match=message):
        list_images(root / name)


def test_the_fingerprint_follows_every_change(grow):
    root = grow("hat/1.jpg", "mug/1.jpg")
    before = fingerprint(list_images(root))
    assert fingerprint(list_images(root)) == before
    os.utime(root / "hat" / "1.jpg", ns=(0, 1))
    touched = fingerprint(list_images(root))
    grow("hat/2.jpg")
    assert len({before, touched, fingerprint(list_images(root))}) == 3


def test_the_fingerprint_copes_with_a_file_that_went_away(grow):
    root = grow("hat/1.jpg", "mug/1.jpg")
    images = list_images(root)
    before = fingerprint(images)
    images[0].path.unlink()
    assert fingerprint(images) != before


LAYOUTS = {
    "a folder per class": ("mug/b.jpg", "mug/deep/a.jpg", "hat/c.png", "README.md", "mug/n.txt"),
    "hidden and junk": ("mug/.b.jpg", "mug/1.jpg", "__MACOSX/x.jpg", ".git/a.jpg", "hat/2.jpg"),
    "splits": ("train/mug/1.jpg", "train/hat/1.jpg", "Val/mug/2.jpg", "test/hat/3.jpg"),
    "spans": ("span-2/mug/1.jpg", "span-2/hat/1.jpg", "span-10/train/hat/2.jpg"),
    "no class": ("1.jpg", "2.jpg"),
    "one class": ("mug/1.jpg",),
    "mixed": ("train/mug/1.jpg", "hat/1.jpg"),
    "mixed spans": ("span-1/mug/1.jpg", "hat/1.jpg"),
    "two manifests": ("manifest.csv", "manifest.jsonl"),
}


def told(root):
    """The images of a place, or why there are none."""
    try:
        return facts(list_images(root))
    except DataError as error:
        return str(error).replace(str(root), "ROOT")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_bucket_is_read_like_a_folder(layout, grow, storage):
    local = grow(*LAYOUTS[layout])
    storage.fill("b", local, prefix="photos/")
    assert told(BucketPath("gs://b/photos")) == told(local)


@pytest.mark.parametrize("name", ["manifest.csv", "manifest.jsonl", "lists/all.csv"])
def test_a_manifest_in_a_bucket_names_its_images(name, grow, storage):
    local = grow("photos/1.jpg", "photos/2.jpg", "lists/x")
    up = "../" if "/" in name else ""
    rows = [(f"{up}photos/2.jpg", "mug", "test"), (f"{up}photos/1.jpg", "hat", "")]
    if name.endswith(".csv"):
        text = "\n".join(map(",".join, [("path", "label", "split"), *rows]))
    else:
        text = "\n".join(json.dumps({"path": path, "label": label}) for path, label, _ in rows)
    (local / name).write_text(text)
    storage.fill("b", local)
    found = told(BucketPath(f"gs://b/{name}"))
    assert len(found) == 2
    assert found == told(local / name)
    if not up:
        assert told(BucketPath("gs://b")) == found


def test_a_manifest_in_a_bucket_may_name_addresses(storage):
    storage.make_bucket("photos", {"a/1.jpg": b"1", "a/2.jpg": b"2"})
    lines = ["path,label", "gs://photos/a/1.jpg,mug", "gs://photos/a/2.jpg,hat"]
    storage.make_bucket("lists", {"m.csv": "\n".join(lines).encode()})
    assert sorted(str(image.path) for image in list_images(BucketPath("gs://lists/m.csv"))) == [
        "gs://photos/a/1.jpg",
        "gs://photos/a/2.jpg",
    ]


def test_a_manifest_in_a_bucket_that_names_nothing_is_an_error(storage):
    storage.make_bucket("b", {"m.csv": b"path,label\nno.jpg,mug\n"})
    with pytest.raises(DataError, match="line 2 names 'no.jpg', which is no file below 'gs://b'"):
        list_images(BucketPath("gs://b/m.csv"))


def test_the_fingerprint_of_a_bucket_follows_its_objects(storage):
    storage.make_bucket("b", {"mug/1.jpg": b"1", "hat/1.jpg": b"1"})

    def now():
        return fingerprint(list_images(BucketPath("gs://b")))

    before = now()
    assert now() == before
    storage.store("b", "mug/1.jpg", b"2")
    rewritten = now()
    storage.store("b", "mug/2.jpg", b"2")
    assert len({before, rewritten, now()}) == 3


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("gs://nowhere/x", "'gs://nowhere/x' does not exist: .* bucket does not exist. Check data"),
        ("gs://b/x", "'gs://b/x' does not exist: No such object: b/x. Check data.path"),
        ("gs://b/m.csv", "'gs://b/m.csv' does not exist: No such object"),
        ("gs://secret/x", "cannot be read: tester does not have access .* Let this account list"),
    ],
)
def test_a_bucket_that_cannot_be_read_is_an_error(address, message, storage):
    storage.make_bucket("b")
    storage.make_bucket("secret")
    storage.forbidden.add("secret")
    with pytest.raises(DataError, match=message):
        list_images(BucketPath(address))
