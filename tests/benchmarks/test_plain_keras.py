import shutil

import pytest

from benchmarks.images_60k import make_images
from benchmarks.plain_keras import list_images
from benchmarks.runs import run_plain


@pytest.fixture
def images(tmp_path):
    folder = make_images(tmp_path / "images", 100)
    for path in sorted((folder / "train").glob("*/*.jpg"))[1::4]:
        path.unlink()  # 60 for training, 10 for each of the others
    return folder


def test_the_plain_script_trains_evaluates_and_exports(images, tmp_path):
    options = ["--epochs", "3", "--max-steps", "4", "--batch-size", "20"]
    run = run_plain(images, tmp_path / "work", options)
    report = run.report
    assert run.cost.seconds >= report["seconds"] > 0
    assert report["images"] == {"train": 60, "validation": 10, "test": 10}
    assert report["steps"] == 4
    assert 0 <= report["accuracy"] <= 1
    assert report["peak_bytes"] > 100 << 20  # TensorFlow alone takes more
    assert report["parameters"] == 1_625_281 - 129 + 1290  # ten outputs where the sheet has one
    assert_serves_encoded_images(
        tmp_path / "work" / "model", next(images.rglob("*.jpg")).read_bytes()
    )


def assert_serves_encoded_images(model, image):
    import tensorflow as tf

    serve = tf.saved_model.load(str(model)).signatures["serving_default"]
    (probabilities,) = serve(tf.constant([image, image])).values()
    assert probabilities.shape == (2, 10)
    assert probabilities.numpy().sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_split_folders_are_kept(images):
    splits, labels = list_images(images, seed=1)
    assert len(labels) == 10
    for name, files in splits.items():
        assert files
        assert all(f"/{name}/{labels[number]}/" in path for path, number in files)


def test_class_folders_are_split_the_same_way_for_the_same_seed(images):
    splits, _ = list_images(images / "train", seed=1)
    assert {name: len(files) for name, files in splits.items()} == {
        "train": 49,
        "validation": 6,
        "test": 5,
    }
    paths = [path for files in splits.values() for path, _ in files]
    assert len(set(paths)) == 60
    assert list_images(images / "train", seed=1)[0] == splits


def test_a_missing_test_folder_is_taken_from_training(images):
    shutil.rmtree(images / "test")
    splits, _ = list_images(images, seed=1)
    assert {name: len(files) for name, files in splits.items()} == {
        "train": 54,
        "validation": 10,
        "test": 6,
    }
