import pytest

from serving.gateway.api_types import ModelsAnswer, ModelVersion
from serving.gateway.console.pages.versions import make_versions_view
from serving.gateway.console.statistics import Cell, Feedback, Statistics
from serving.gateway.console.windows import find_window

WINDOW = find_window("1h")
MODELS = ModelsAnswer(
    name="loupe",
    label="",
    breaker="closed",
    rules_version=3,
    versions=[
        ModelVersion(version=2, state="AVAILABLE", share=0.5),
        ModelVersion(version=3, state="LOADING", share=0),
    ],
)


def cell(version, count, *, route="stable", reviews=0):
    return Cell(5, version, route, 10, 8, count, reviews, count * 0.8)


def make_view(*cells, models=MODELS, problem=""):
    statistics = Statistics(WINDOW, 0, cells, {2: Feedback(4, 3)})
    return make_versions_view(statistics, models, problem)


def test_served_and_seen_versions_are_joined_newest_first():
    view = make_view(cell(2, 30), cell(1, 10), cell(0, 10, route="fallback_model"))
    assert [row.version for row in view.rows] == [3, 2, 1, 0]
    assert [row.state for row in view.rows] == ["LOADING", "AVAILABLE", "", ""]
    assert [row.share for row in view.rows] == [0, 0.6, 0.2, 0.2]
    assert view.rows[0].median_ms is None
    assert view.rows[3].routes == ["fallback model"]


def test_a_shadow_is_no_traffic_but_has_its_numbers():
    view = make_view(cell(2, 30), cell(3, 30, route="shadow", reviews=15))
    shadow, stable = view.rows
    assert (shadow.count, shadow.share, stable.share) == (0, 0, 1)
    assert shadow.review_share == 0.5
    assert shadow.probability == pytest.approx(0.8)
    assert [series.name for series in view.chart.series] == ["2"]


def test_feedback_is_a_share():
    row = make_view(cell(2, 30)).rows[1]
    assert (row.judged, row.right_share) == (4, 0.75)


def test_traffic_is_shown_though_the_model_server_is_gone():
    view = make_view(cell(2, 30), models=None, problem="No connection.")
    assert view.problem == "No connection."
    assert [row.version for row in view.rows] == [2]


def test_the_page_escapes_what_the_model_server_says(shared_console):
    page = shared_console.client("reader").get("/console/versions").text
    assert "&lt;i&gt;no room&lt;/i&gt;" in page
    assert "<i>" not in page
