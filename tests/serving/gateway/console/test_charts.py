import datetime
import re

import pytest

from serving.gateway.console.charts import HEIGHT, WIDTH, ChartKind, Series, make_chart
from serving.gateway.console.windows import WINDOWS, Window

WINDOW = Window("test", "four steps", 15, 4)


def draw(*values, kind=ChartKind.LINES, top=None):
    series = [Series(f"s{place}", place + 1, one) for place, one in enumerate(values)]
    return make_chart(
        "c",
        "Chart",
        "a note",
        series,
        window=WINDOW,
        start=0,
        write="{:g}".format,
        kind=kind,
        top=top,
    )


def points(path):
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_a_line_goes_from_edge_to_edge_and_from_bottom_to_top():
    chart = draw([0, 5, 10, 10])
    assert points(chart.series[0].path) == [
        (0, HEIGHT),
        (333.3, HEIGHT / 2),
        (666.7, 0),
        (WIDTH, 0),
    ]
    assert chart.levels == ["10", "7.5", "5", "2.5", "0"]


def test_a_gap_in_the_values_is_a_gap_in_the_line():
    path = draw([1, None, 1, 1]).series[0].path
    assert path.count("M") == 2
    assert path.count("L") == 1


def test_a_value_without_neighbours_is_a_dot():
    assert draw([1, None, 1, 1]).series[0].path.startswith("M0.0 0.0m-4 0h8M")


def test_stacked_values_stand_on_each_other():
    chart = draw([1, 2, 0, 1], [1, 2, 4, 0], kind=ChartKind.STACK)
    lower, upper = (points(series.path) for series in chart.series)
    assert chart.levels[0] == "4"
    assert [y for _, y in lower] == [HEIGHT, HEIGHT, HEIGHT]
    assert [y for _, y in upper] == [HEIGHT * 3 / 4, HEIGHT / 2, HEIGHT]


@pytest.mark.parametrize(
    ("highest", "top"), [(0.3, "0.4"), (1, "1"), (1.1, "2"), (7, "8"), (61, "80"), (9.9, "10")]
)
def test_the_uppermost_line_is_a_round_number(highest, top):
    assert draw([highest, 0, 0, 0]).levels[0] == top


def test_values_above_the_top_stay_on_the_chart():
    assert points(draw([3, 0, 0, 0], top=1.0).series[0].path)[0] == (0, 0)


def test_the_newest_value_is_the_last_that_there_is():
    assert draw([1, 2, None, None]).series[0].newest == "2"
    assert draw([None] * 4).series[0].newest == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("values", "is_empty"), [([0] * 4, True), ([None] * 4, True), ([0, 1, 0, 0], False)]
)
def test_an_empty_chart_says_so(values, is_empty):
    assert draw(values).is_empty is is_empty
    assert draw().is_empty


def test_moments_are_the_beginnings_of_steps():
    chart = draw([1] * 4)
    assert chart.moments[1] == "1970-01-01T00:00:15+00:00"
    assert chart.times[0] == chart.moments[0]
    assert chart.times[-1] == chart.moments[-1]


def test_windows_end_with_the_step_that_is_running():
    now = datetime.datetime(2026, 11, 21, 14, 50, 7, tzinfo=datetime.UTC)
    for window in WINDOWS:
        start = window.start(now)
        last = start + (window.num_steps - 1) * window.step_seconds
        assert start % window.step_seconds == 0
        assert last <= now.timestamp() < last + window.step_seconds
