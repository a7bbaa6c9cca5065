import numpy as np
import pytest

from configs.errors import StageError
from configs.types import TrainConfig
from trainer.input_fn import (
    class_weights,
    make_evaluation_dataset,
    make_training_dataset,
    open_split,
)


@pytest.fixture
def split(tmp_path, write_shards, image_size):
    pattern = write_shards(tmp_path, "train", [0, 1, 1, 1, 2, 0, 1, 1], num_shards=3)
    return open_split([pattern], name="train", num_classes=3, image=image_size)


def _config(**settings):
    return TrainConfig(**{"batch_size": 4, "augmentation_strength": 0.0, **settings})


def _batches(split, config, count):
    return list(make_training_dataset(split, config).take(count).as_numpy_iterator())


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_classes_are_counted_in_plain_and_compressed_shards(
    suffix, tmp_path, write_shards, image_size
):
    pattern = write_shards(tmp_path, "train", [0, 1, 1, -1], suffix=suffix)
    split = open_split([pattern], name="train", num_classes=4, image=image_size)
    assert split.class_counts == (1, 2, 0, 0)
    assert split.num_examples == 3
    assert len(split.files) == 2


def test_a_split_without_files_is_refused(tmp_path, image_size):
    with pytest.raises(StageError, match=r"no file of the validation split matches .*/none-"):
        open_split([str(tmp_path / "none-*")], name="validation", num_classes=2, image=image_size)


def test_a_split_of_unknown_labels_is_refused(tmp_path, write_shards, image_size):
    pattern = write_shards(tmp_path, "train", [-1, -1])
    with pytest.raises(StageError, match="and 1 more files has no example with a label"):
        open_split([pattern], name="train", num_classes=2, image=image_size)


def test_evaluation_sees_each_example_once_in_order(split):
    batches = list(make_evaluation_dataset(split, _config(batch_size=3)).as_numpy_iterator())
    assert [len(pixels) for pixels, _, _ in batches] == [3, 3, 2]
    ids = np.concatenate([one_hot.argmax(axis=1) for _, one_hot, _ in batches])
    assert sorted(ids) == [0, 0, 1, 1, 1, 1, 1, 2]
    assert all((weights == 1).all() for _, _, weights in batches)
    pixels, one_hot, _ = batches[0]
    assert pixels.shape == (3, 16, 16, 3)
    bright_rows = [int(image.mean(axis=(1, 2)).argmax()) // 3 for image in pixels]
    assert bright_rows == one_hot.argmax(axis=1).tolist()


def test_an_epoch_holds_every_example_in_a_new_order(split):
    config = _config(batch_size=8)
    first, second = (pixels for pixels, _, _ in _batches(split, config, 2))
    assert not np.array_equal(first, second)
    assert {one.tobytes() for one in first} == {one.tobytes() for one in second}


def test_the_same_seed_gives_the_same_batches(split):
    config = _config(augmentation_strength=0.5)
    for one, other in zip(_batches(split, config, 6), _batches(split, config, 6), strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)


def test_another_seed_gives_other_batches(split):
    first, other = (_batches(split, _config(seed=seed), 1)[0][0] for seed in (1, 2))
    assert not np.array_equal(first, other)


def test_each_step_augments_anew(split):
    config = _config(augmentation_strength=0.5, batch_size=8)
    images = [one.tobytes() for pixels, _, _ in _batches(split, config, 3) for one in pixels]
    assert len(set(images)) == 24


def test_rare_classes_weigh_more_when_balanced(split):
    _, one_hot, weights = _batches(split, _config(batch_size=8), 1)[0]
    for target, weight in zip(one_hot, weights, strict=True):
        assert weight == pytest.approx(8 / (3 * [2, 5, 1][target.argmax()]))


def test_every_weight_is_one_when_not_balanced(split):
    assert (_batches(split, _config(balance_classes=False), 1)[0][2] == 1).all()


def test_an_unknown_label_has_no_weight(tmp_path, write_shards, image_size):
    pattern = write_shards(tmp_path, "train", [0, -1], num_shards=1)
    split = open_split([pattern], name="train", num_classes=2, image=image_size)
    _, one_hot, weights = next(iter(make_evaluation_dataset(split, _config())))
    assert weights.numpy().tolist() == [1, 0]
    assert one_hot.numpy().tolist() == [[1, 0], [0, 0]]


def test_class_weights_average_to_one():
    counts = np.array([10, 0, 30])
    weights = class_weights(counts)
    assert weights[1] == 0
    assert weights @ counts == pytest.approx(40)
    assert weights[0] == pytest.approx(3 * weights[2])


def test_an_iterator_that_ends_waits_for_no_tuner(split):
    for dataset in (
        make_training_dataset(split, _config()),
        make_evaluation_dataset(split, _config()),
    ):
        assert dataset.options().autotune.enabled is False
