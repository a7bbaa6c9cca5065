import itertools

import numpy as np
import pytest

from data.drawing.pen import Pen
from data.drawing.products import NEW_PRODUCT, PRODUCTS

ALL = {**PRODUCTS, NEW_PRODUCT[0]: NEW_PRODUCT[1]}
VIEW = np.array([[30.0, 0, 40], [0, 30.0, 40], [0, 0, 1]])


def silhouette(draw, seed):
    pen = Pen((80, 80), VIEW)
    draw(pen, np.random.default_rng(seed), (0.8, 0.2, 0.2), (0.2, 0.2, 0.8))
    return pen


@pytest.mark.parametrize("name", ALL)
def test_a_product_fills_its_square_and_stays_near_it(name):
    for seed in range(5):
        left, top, right, bottom = silhouette(ALL[name], seed).mask.getbbox()
        assert max(right - left, bottom - top) > 42
        assert min(left, top) >= 4
        assert max(right, bottom) <= 76


@pytest.mark.parametrize("name", ALL)
def test_a_product_has_details_and_varies(name):
    one, other = silhouette(ALL[name], 0), silhouette(ALL[name], 1)
    assert len(one.layer.getcolors(10_000)) >= 4
    assert one.layer.tobytes() != other.layer.tobytes()


def test_products_differ_in_shape_and_not_only_in_colour():
    shapes = {
        name: np.mean([np.asarray(silhouette(draw, s).mask) / 255 for s in range(8)], axis=0)
        for name, draw in ALL.items()
    }
    for one, other in itertools.combinations(shapes, 2):
        difference = np.abs(shapes[one] - shapes[other]).sum()
        assert difference > 0.2 * min(shapes[one].sum(), shapes[other].sum()), (one, other)
