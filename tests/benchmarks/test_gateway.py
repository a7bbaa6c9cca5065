import pytest

from benchmarks.figures import Verdict
from benchmarks.gateway import BARE, Plan, measure_gateway
from benchmarks.runs import BenchmarkSettings


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    settings = BenchmarkSettings(folder / "work", 400, 1, folder / "no-photos")
    return measure_gateway(settings, Plan(seconds=0.5, num_clients=4))


def test_every_promise_has_a_figure(result):
    assert [figure.name for figure in result.figures if figure.goal is not None] == [
        "p50 beyond the model server, half of saturation",
        "p99 beyond the model server, half of saturation",
        "seconds, times the model server's own",
        "p95 at 10 requests/s",
        "p50 at the same load, times a model inside the API",
        "gateway: start",
        "gateway: memory",
    ]


def test_three_ways_and_two_protocols_are_in_the_table(result):
    names = {figure.name for figure in result.figures if figure.verdict is Verdict.NO_GOAL}
    for way in ("in the API", "separate", "batched"):
        for what in ("p50", "p95", "p99", "answers", "start", "memory"):
            assert f"{way}: {what}" in names
    assert BARE in names
    for protocol in ("gRPC", "REST"):
        assert f"gateway's client over {protocol}: p50_ms" in names


def test_what_was_measured_is_plausible(result):
    (measured,) = result.details["rounds"]
    for way in ("separate", "batched"):
        for load in ("direct full", "full", "direct half", "half"):
            report = measured[way][load]
            # How many is for the benchmark to say: other tests are running on this machine.
            assert report["requests_per_second"] == report["requests"] / 0.5 > 0
            assert 0 < report["p50_ms"] <= report["p95_ms"] <= report["p99_ms"]
        assert 50 < measured[way]["gateway_mebibytes"] < measured[way]["mebibytes"]
