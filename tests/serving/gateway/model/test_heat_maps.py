import io

import numpy as np
import pytest
from PIL import Image

from serving.gateway.model.heat_maps import draw_overlay
from serving.gateway.settings import UploadSettings
from serving.gateway.uploads.images import check_image
from serving.gateway.uploads.upload import Upload

LIMITS = UploadSettings(refused=frozenset())


def _draw(data, heat_map):
    overlay = Image.open(io.BytesIO(draw_overlay(check_image(Upload(data), LIMITS), heat_map)))
    assert overlay.format == "PNG"
    return overlay


@pytest.fixture(scope="module")
def grey(encode):
    return encode(Image.new("RGB", (60, 40), (128, 128, 128)), "PNG")


def test_no_heat_leaves_the_picture_as_it_is(grey):
    overlay = np.asarray(_draw(grey, np.zeros((7, 7), np.float32)))
    assert overlay.shape == (40, 60, 3)
    assert (overlay == 128).all()


def test_heat_lies_where_the_map_has_it(grey):
    heat_map = np.zeros((4, 6), np.float32)
    heat_map[0, 5] = 1.0
    change = np.abs(np.asarray(_draw(grey, heat_map)).astype(int) - 128).sum(axis=-1)
    assert change[2, 57] > 100  # top right
    assert change[20:, :].max() == 0
    assert change[:, :30].max() == 0


def test_full_heat_is_yellow(grey):
    red, green, blue = np.asarray(_draw(grey, np.ones((2, 2), np.float32)))[20, 30].tolist()
    assert red > 200
    assert green > 190
    assert blue < 80


@pytest.mark.parametrize("value", [-5.0, 7.0, np.nan, np.inf])
def test_values_out_of_range_are_clipped(grey, value):
    overlay = np.asarray(_draw(grey, np.full((3, 3), value, np.float32)))
    expected = 1.0 if value > 1 else 0.0
    same = np.asarray(_draw(grey, np.full((3, 3), expected, np.float32)))
    np.testing.assert_array_equal(overlay, same)


def test_overlays_are_upright_in_every_format(encoded):
    overlay = _draw(encoded, np.zeros((2, 2), np.float32))
    upright = Image.open(io.BytesIO(encoded))
    is_turned = upright.getexif().get(0x0112, 1) >= 5
    ratio = upright.height / upright.width if is_turned else upright.width / upright.height
    assert overlay.width / overlay.height == pytest.approx(ratio, abs=0.02)
    assert max(overlay.size) <= 512
