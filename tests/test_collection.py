"""How tests are told apart."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TWICE = """
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    (item,) = items
    items.append(pytest.Function.from_parent(item.parent, name=item.name))
"""


def collect(folder):
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "tests.conftest"]
    return subprocess.run(
        [*command, f"--rootdir={folder}", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_of_tests_with_the_same_id_all_but_one_would_not_run_so_they_are_refused(tmp_path):
    (tmp_path / "test_one.py").write_text("def test_something(): pass\n")
    done = collect(tmp_path)
    assert (done.returncode, done.stdout.split()[0]) == (0, "test_one.py::test_something")
    (tmp_path / "conftest.py").write_text(TWICE)
    done = collect(tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "tests have the same id: test_one.py::test_something" in done.stderr
