import time

from serving.gateway.console.pages.live import make_live_view
from serving.gateway.console.parts import Vitals
from serving.gateway.console.statistics import Cell, Statistics
from serving.gateway.console.windows import find_window

WINDOW = find_window("1h")
CALM = Vitals("closed", 0)


def make_view(*cells, vitals=CALM, problem="", failed=0):
    start = int(time.time() / 60 - 59) * 60
    statuses = {name: [0] * 60 for name in ("2xx", "3xx", "4xx", "5xx")}
    statuses["2xx"][5], statuses["5xx"][5] = 60 - failed, failed
    statistics = None if problem else Statistics(WINDOW, start, cells, {})
    return make_live_view(WINDOW, statistics, problem, (start, statuses), vitals)


def tile(view, name):
    return next(tile for tile in view.tiles if tile.name == name)


def text(view, name):
    return tile(view, name).value.replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_numbers_are_of_answers_and_not_of_shadows():
    view = make_view(
        Cell(3, 1, "stable", 9, 9, 90, 9, 85.5), Cell(3, 1, "shadow", 40, 0, 900, 0, 9.0)
    )
    assert text(view, "Answers") == "90"
    assert text(view, "Confidence") == "95.0 %"
    assert view.confidence == [0] * 9 + [1]
    shares = next(chart for chart in view.charts if chart.chart_id == "shares")
    assert shares.series[0].texts[3].startswith("10.0")


def test_requests_are_counted_by_second():
    view = make_view(failed=6)
    statuses = next(chart for chart in view.charts if chart.chart_id == "statuses")
    assert statuses.series[0].texts[5] == "0.9"
    assert statuses.series[2].texts[5] == "0.1"
    assert text(view, "Failed requests") == "10.0 %"
    assert tile(view, "Failed requests").tone == "bad"


def test_what_is_slow_or_broken_is_marked():
    view = make_view(Cell(3, 1, "stable", 30, 9, 10, 0, 9), vitals=Vitals("open", 12))
    assert tile(view, "Latency p95").tone == "warning"
    assert tile(view, "Model server").tone == "bad"
    assert text(view, "Model server") == "unreachable"
    assert text(view, "Backlog") == "12"


def test_requests_are_shown_though_the_database_is_gone():
    view = make_view(problem="The database does not answer.")
    assert [chart.chart_id for chart in view.charts] == ["statuses"]
    assert text(view, "Answers") == "0"


def test_the_part_that_is_loaded_again_is_the_page_without_its_frame(shared_console):
    client = shared_console.client("reader")
    page = client.get("/console/live?window=15m").text
    part = client.get("/console/live/now?window=15m").text
    assert part.strip().startswith('<div id="now">')
    assert "<html" not in part
    assert page.count('data-chart="') == part.count('data-chart="') == 4


def test_an_unknown_window_is_the_one_of_an_hour(shared_console):
    page = shared_console.client("reader").get("/console/live?window=<b>").text
    assert 'href="/console/live?window=1h" aria-current="true"' in page
    assert "<b>" not in page
