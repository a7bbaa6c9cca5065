import numpy as np
import pytest

from data.drawing.pen import Pen, curve, ellipse, mirror, to_rgb, tone

VIEW = np.array([[10.0, 0, 20], [0, 10.0, 20], [0, 0, 1]])
RED = (1.0, 0.0, 0.0)


def test_a_polygon_is_filled_where_the_view_puts_it():
    pen = Pen((40, 40), VIEW)
    pen.fill([(-1, -1), (1, -1), (1, 1), (-1, 1)], RED)
    assert pen.mask.getbbox() == (10, 10, 31, 31)
    assert pen.layer.getpixel((20, 20)) == (255, 0, 0)
    assert pen.layer.getpixel((5, 5)) == (0, 0, 0)


def test_perspective_makes_the_far_side_smaller():
    view = VIEW.copy()
    view[2, 1] = -0.2
    pen = Pen((60, 60), view)
    pen.fill([(-1, -1), (1, -1), (1, 1), (-1, 1)], RED)
    rows = np.asarray(pen.mask).sum(axis=1) / 255
    rows = rows[rows > 0]
    assert rows[0] < rows[-1]


def test_a_stroke_is_as_wide_as_asked():
    pen = Pen((40, 40), VIEW)
    pen.stroke([(-1, 0), (0, 0), (1, 0)], 0.6, RED)
    assert np.asarray(pen.mask)[:, 20].sum() / 255 == pytest.approx(6, abs=1)
    assert pen.mask.getbbox()[0] < 10 < 30 < pen.mask.getbbox()[2]  # round ends


@pytest.mark.parametrize("closed", [True, False])
def test_a_curve_goes_through_its_points(closed):
    points = np.array([[0.0, 0], [1, 0], [1, 1], [0, 2]])
    dense = curve(points, closed=closed)
    for point in points:
        assert np.abs(dense - point).sum(axis=1).min() < 1e-9


def test_an_ellipse_runs_clockwise_from_the_right():
    arc = ellipse((1, 1), (2, 1), 0, 90)
    assert arc[0] == pytest.approx([3, 1])
    assert arc[-1] == pytest.approx([1, 2])


def test_a_mirrored_outline_is_symmetric():
    assert mirror([(1, 0), (2, 1)]).tolist() == [[1, 0], [2, 1], [-2, 1], [-1, 0]]


@pytest.mark.parametrize(
    ("factor", "expected"), [(0.5, (0.4, 0.2, 0.0)), (1, (0.8, 0.4, 0.0)), (2, (0.9, 0.7, 0.5))]
)
def test_tones_go_towards_black_and_white(factor, expected):
    assert tone((0.8, 0.4, 0.0), factor) == pytest.approx(expected)


def test_colours_are_cut_off_at_their_range():
    assert to_rgb((-1.0, 0.5, 2.0)) == (0, 128, 255)
