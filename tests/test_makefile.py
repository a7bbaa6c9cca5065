import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TARGETS = [
    "setup",
    "run",
    "test",
    "check",
    "format",
    "smoke",
    "compile",
    "serve",
    "bench",
    "doctor",
    "lock",
    "clean",
    "help",
]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Without the settings of the make that may have started these tests.
    return subprocess.run(
        ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def words_after(program: str, *arguments: str) -> list[str]:
    plan = make("--just-print", *arguments).stdout.replace("\\\n", " ")
    line = next(line for line in plan.splitlines() if line.startswith(program))
    return shlex.split(line)[len(program.split()) :]


def test_help_lists_every_target_and_is_the_default():
    text = make("help").stdout
    assert set(re.findall(r"make (\w+) +\w", text)) >= set(TARGETS)
    assert make().stdout == text


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"help", "clean"}))
def test_every_target_sets_up_what_it_needs(target: str):
    assert "-m tools.setup_environment" in make("--just-print", target).stdout


def test_run_hands_settings_on_one_by_one():
    words = words_after(".venv/bin/loupe run", "run", "CONFIG=smoke", "SET=a.b=1 c.d=[2,3]")
    assert words == [
        *("--workspace", "workspace", "--config", "smoke"),
        *("--set", "a.b=1", "--set", "c.d=[2,3]"),
    ]


def test_run_hands_nothing_on_that_was_not_given():
    assert words_after(".venv/bin/loupe run", "run") == ["--workspace", "workspace"]


@pytest.mark.parametrize("folder", ["my photos", "it's mine", 'a "b"', "a;b", "*", "ünï"])
def test_folders_may_have_any_name(folder: str):
    words = words_after(".venv/bin/loupe run", "run", f"DATA={folder}", f"WORKSPACE={folder}/w")
    assert words == ["--workspace", f"{folder}/w", "--data", folder]


def test_smoke_has_a_workspace_of_its_own():
    words = words_after(".venv/bin/loupe run", "smoke")
    assert words == ["--config", "smoke", "--workspace", "workspace/smoke"]


def test_compile_hands_settings_on():
    given = ("CONFIG=kubeflow-gpu", "SET=train.epochs=3", "OUTPUT=my pipeline.yaml")
    assert words_after(".venv/bin/loupe kubeflow compile", "compile", *given) == [
        *("--workspace", "workspace", "--config", "kubeflow-gpu", "--set", "train.epochs=3"),
        *("--output", "my pipeline.yaml"),
    ]


def test_serve_serves_what_run_pushes():
    words = words_after(".venv/bin/python -m serving.model_server", "serve", "REST_PORT=9001")
    assert "--rest_api_port=9001" in words
    assert f"--model_base_path={ROOT}/workspace/serving/loupe" in words


def test_machine_without_python_3_11_is_told_what_to_do():
    answer = make("setup", "PYTHON=")
    assert answer.returncode != 0
    assert "No Python 3.11 was found on PATH" in answer.stderr
    assert "make setup PYTHON=/path/to/python3.11" in answer.stderr


def test_ci_runs_check_and_test_and_stops_at_a_failure():
    text = (ROOT / ".ci/run").read_text()
    assert "set -euo pipefail" in text
    assert re.findall(r"^make (\w+)$", text, flags=re.MULTILINE) == ["check", "test"]
