import numpy as np
import pytest
import tensorflow as tf

from transform.augment import augment_batch


@pytest.fixture
def images():
    return tf.constant(np.random.default_rng(0).uniform(0, 255, (6, 16, 20, 3)).astype(np.float32))


def _seed(number):
    return tf.constant([7, number], tf.int64)


def test_strength_zero_changes_nothing(images):
    np.testing.assert_array_equal(augment_batch(images, strength=0.0, seed=_seed(0)), images)


@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_shape_dtype_and_range_are_kept(images, strength):
    changed = augment_batch(images, strength=strength, seed=_seed(0))
    assert changed.shape == images.shape
    assert changed.dtype == tf.float32
    assert np.min(changed) >= 0
    assert np.max(changed) <= 255


def test_the_same_seed_changes_the_same_way(images):
    first, again, other = (augment_batch(images, strength=0.5, seed=_seed(n)) for n in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1


def test_each_image_is_changed_its_own_way():
    same = tf.tile(tf.random.stateless_uniform((1, 16, 16, 3), (1, 2)) * 255, (4, 1, 1, 1))
    changed = augment_batch(same, strength=0.5, seed=_seed(3)).numpy()
    assert len({one.tobytes() for one in changed}) == 4


def test_a_stronger_setting_changes_more(images):
    def distance(strength):
        changes = [
            np.abs(augment_batch(images, strength=strength, seed=_seed(n)) - images).mean()
            for n in range(5)
        ]
        return np.mean(changes)

    assert distance(0.02) < distance(1.0)


def test_about_half_of_the_images_are_mirrored():
    ramp = np.tile(np.linspace(0, 255, 32, dtype=np.float32)[None, None, :, None], (200, 8, 1, 3))
    changed = augment_batch(tf.constant(ramp), strength=1e-4, seed=_seed(0)).numpy()
    mirrored = np.mean(changed[:, 4, 2, 0] > changed[:, 4, -3, 0])
    assert 0.35 < mirrored < 0.65


def test_mirroring_keeps_the_middle_in_place():
    image = np.zeros((50, 9, 9, 3), np.float32)
    image[:, 4, 4] = 255
    changed = augment_batch(tf.constant(image), strength=1e-4, seed=_seed(0)).numpy()
    assert changed[:, 4, 4].min() > 250
