import pytest

from benchmarks.figures import Verdict
from benchmarks.runs import BenchmarkSettings
from benchmarks.serving import Plan, measure_serving
from benchmarks.serving_processes import BATCHING_FILE, batching_flags
from serving.model_server.flags import parse_flags


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    settings = BenchmarkSettings(folder / "work", 400, 1, folder / "no-photos")
    return measure_serving(settings, Plan(seconds=0.4, num_clients=4, num_swaps=3))


def test_every_promise_has_a_figure(result):
    promised = [figure.name for figure in result.figures if figure.goal is not None]
    for protocol in ("grpc", "rest"):
        mine = [name for name in promised if name.startswith(protocol)]
        assert len(mine) == 5
        assert any("in process with full batches" in name for name in mine)
        assert any(name.endswith("p99") for name in mine)
        assert any("p50 beyond the call in process" in name for name in mine)
        assert any("with model.predict" in name for name in mine)
        assert any(name.endswith("LitServe") for name in mine)
    assert "memory after 3 version swaps, times before" in promised
    assert len(promised) == 11


def test_every_protocol_and_form_is_in_the_table(result):
    names = {figure.name for figure in result.figures if figure.verdict is Verdict.NO_GOAL}
    for protocol in ("grpc", "rest"):
        for form in ("jpeg", "uint8", "float32"):
            assert {f"{protocol} {form}, 1 client: {key}" for key in ("p50", "p99")} <= names


def test_what_was_measured_is_plausible(result):
    for each in result.details["rounds"]:
        limit = each["in process"]["before"]["images_per_second"]
        assert limit > each["fastapi"]["requests_per_second"]
        assert limit > each["litserve"]["requests_per_second"]
    assert result.details["forms"]["grpc jpeg"]["requests"] > 0
    assert result.details["memory"]["before"] > 100 << 20
    assert result.details["images"]["images"] == 64


def test_the_result_says_whether_requests_were_batched(result):
    is_batched = bool(batching_flags())
    assert isinstance(result.details["batching"], list if is_batched else str)
    assert any("(not batched)" in figure.name for figure in result.figures) is not is_batched


def test_batching_is_used_as_soon_as_the_server_takes_the_flag():
    flags = batching_flags()
    if flags:
        assert parse_flags(["--model_base_path=/m", *flags]).flags.enable_batching
    assert BATCHING_FILE.is_file()
