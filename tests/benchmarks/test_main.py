import subprocess
import sys

import pytest

import benchmarks.__main__ as command
from benchmarks.figures import Figure, Result
from benchmarks.pipeline_overhead import clothing_overhead
from benchmarks.runs import BenchmarkSettings
from configs.errors import ConfigError, DataError
from configs.load import REPOSITORY_ROOT


def run(*arguments):
    line = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(line, cwd=REPOSITORY_ROOT, capture_output=True, text=True)


def test_list_names_every_benchmark():
    done = run("--list")
    assert done.returncode == 0
    for name in (
        "pipeline_overhead",
        "clothing_overhead",
        "cached_rerun",
        "image_ops",
        "serving",
        "kubeflow_start",
        "kubeflow_overhead",
    ):
        assert f"{name}: " in done.stdout


def test_an_unknown_benchmark_is_one_sentence():
    done = run("nonsense")
    assert done.returncode == ConfigError.exit_code
    assert "no benchmark is called nonsense, expected some of: image_ops" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_names_are_all_names_but_those_that_must_be_named():
    assert {*command.choose([]), *command.WHEN_NAMED} == set(command.BENCHMARKS)
    assert not {*command.choose([])} & {*command.WHEN_NAMED}
    assert command.choose(["image_ops"]) == ["image_ops"]


@pytest.mark.parametrize(("value", "exit_code"), [(1.9, 0), (2.1, 1)])
def test_a_missed_goal_is_the_exit_code(value, exit_code, tmp_path, monkeypatch, capsys):
    result = Result("quick", [Figure("ratio", value, "", 2.0)])
    monkeypatch.setattr(command, "BENCHMARKS", {"quick": lambda _: result})
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    with pytest.raises(SystemExit) as ended:
        command.benchmarks(names=["quick"], workspace=tmp_path)
    assert ended.value.code == exit_code
    assert ("NOT REACHED" in capsys.readouterr().out) is bool(exit_code)
    assert len(list((tmp_path / "results").glob("quick-*.json"))) == 1


def test_missing_photos_are_refused_in_one_sentence(tmp_path):
    settings = BenchmarkSettings(tmp_path / "work", 400, 1, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"nowhere/clothing' does not exist.*--shared-data"):
        clothing_overhead(settings)
