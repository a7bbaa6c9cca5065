import numpy as np
import pytest

from data.drawing.products import PRODUCTS
from data.drawing.scenes import draw_scene


@pytest.mark.parametrize("size", [(80, 120), (400, 300)])
def test_a_scene_has_the_size_asked_for(size):
    scene = draw_scene(PRODUCTS["mug"], size, np.random.default_rng(0))
    assert scene.shape == (size[1], size[0], 3)
    assert scene.dtype == np.float32


def test_the_same_random_numbers_draw_the_same_scene():
    one, other = (draw_scene(PRODUCTS["hat"], (90, 90), np.random.default_rng(5)) for _ in "12")
    assert (one == other).all()


def test_the_product_stands_out_from_its_ground():
    def drawn_nothing(pen, rng, body, accent):
        PRODUCTS["bag"](type(pen)(pen.mask.size, np.eye(3)), rng, body, accent)

    for seed in range(10):
        bag = draw_scene(PRODUCTS["bag"], (96, 96), np.random.default_rng(seed))
        empty = draw_scene(drawn_nothing, (96, 96), np.random.default_rng(seed))
        changed = np.abs(bag - empty).max(axis=2) > 0.1
        assert 0.1 < changed.mean() < 0.9
