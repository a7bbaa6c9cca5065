import numpy as np
import pytest
from PIL import Image

from benchmarks.images_60k import CLASSES, RECORD_FILENAME, draw_shapes, make_images
from configs.errors import DataError


def contents(folder):
    files = sorted(folder.rglob("*.jpg"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_splits_and_classes_are_even_and_every_image_differs(tmp_path):
    images = contents(make_images(tmp_path / "images", 200))
    for split, count in (("train", 16), ("validation", 2), ("test", 2)):
        for label in CLASSES:
            assert sum(name.startswith(f"{split}/{label}/") for name in images) == count
    assert len(set(images.values())) == len(images) == 200


def test_images_are_small_colour_jpegs(tmp_path):
    for path in make_images(tmp_path / "images", 100).rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))
        assert path.stat().st_size < 1000


def test_the_same_count_draws_the_same_bytes(tmp_path):
    first, second = (make_images(tmp_path / name, 100) for name in ("a", "b"))
    assert contents(first) == contents(second)


def test_a_complete_folder_is_used_again(tmp_path):
    folder = make_images(tmp_path / "images", 100)
    (folder / "mark").touch()
    make_images(folder, 100)
    assert (folder / "mark").exists()


def test_another_count_replaces_the_folder(tmp_path):
    make_images(tmp_path / "images", 100)
    assert len(contents(make_images(tmp_path / "images", 200))) == 200


def test_a_drawing_that_ends_early_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        make_images(tmp_path / "images", 100)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(DataError, match=f"exists without {RECORD_FILENAME}.*name another folder"):
        make_images(tmp_path, 100)
    assert (tmp_path / "photo.jpg").exists()


@pytest.mark.parametrize("count", [0, 99, 150])
def test_counts_that_do_not_divide_are_refused(tmp_path, count):
    with pytest.raises(DataError, match=f"cannot draw {count} images.*multiple of 100"):
        make_images(tmp_path / "images", count)


@pytest.mark.parametrize("label", CLASSES)
def test_every_shape_stands_out_from_its_background(label):
    images = draw_shapes(label, (1,), 50).astype(int)
    corner = images[:, :1, :1]
    is_shape = np.abs(images - corner).max(axis=-1) > 40
    assert (is_shape.mean(axis=(1, 2)) > 0.02).all()
    assert (is_shape.mean(axis=(1, 2)) < 0.7).all()
