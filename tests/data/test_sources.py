import os

import pytest

from configs.errors import DataError
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
