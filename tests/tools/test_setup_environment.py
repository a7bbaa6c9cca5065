import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from configs.errors import EnvironmentSetupError
from tools import setup_environment
from tools.setup_environment import ROOT, Layout
from tools.stamp import read_stamp, write_stamp


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A clone with nothing but what set-up reads."""
    root = tmp_path / "a clone"
    for name in ("tools", "requirements"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    return Layout(root, root / ".venv", "dev")


def wanted(layout: Layout, environment: str = "dev", *, needs_libc: bool = False):
    changed = Layout(layout.root, layout.folder, environment)
    return setup_environment.wanted_stamp(changed, needs_libc=needs_libc)


@pytest.mark.parametrize("name", ["requirements/dev.lock", "requirements/build.lock", "setup.py"])
def test_changed_packages_change_what_is_installed(layout: Layout, name: str):
    before = wanted(layout)
    with (layout.root / name).open("a") as file:
        file.write("# changed\n")
    assert wanted(layout).packages != before.packages
    assert wanted(layout).recipe == before.recipe


@pytest.mark.parametrize("name", ["tools/private_libc.py", "requirements/bootstrap.lock"])
def test_changed_set_up_changes_the_recipe(layout: Layout, name: str):
    before = wanted(layout)
    with (layout.root / name).open("a") as file:
        file.write("# changed\n")
    assert wanted(layout).recipe != before.recipe


def test_other_files_change_nothing(layout: Layout):
    before = wanted(layout)
    (layout.root / "tools/another.py").write_text("")
    (layout.root / "requirements/pipeline.lock").write_text("")
    assert wanted(layout) == before


def test_each_environment_has_packages_of_its_own(layout: Layout):
    stamps = [wanted(layout, name) for name in setup_environment.ENVIRONMENTS]
    assert len({stamp.packages for stamp in stamps}) == len(stamps)


@pytest.mark.parametrize("version", [(3, 10), (3, 12), (2, 7)])
def test_other_python_is_said_with_what_to_type(version: tuple[int, int]):
    with pytest.raises(
        EnvironmentSetupError, match=r"this is Python \d.\d+, .* needs 3\.11"
    ) as caught:
        setup_environment.require_python(version)
    assert "make setup PYTHON=/path/to/python3.11" in str(caught.value)


def test_full_disk_is_said_before_anything_is_fetched(tmp_path: Path):
    with pytest.raises(EnvironmentSetupError, match=r"has 1\.5 GB free, .* need 7 GB"):
        setup_environment.require_disk(tmp_path, int(1.5e9))
    setup_environment.require_disk(tmp_path, 8 * 10**9)


def test_failed_set_up_leaves_nothing_that_looks_done(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    stamp = wanted(layout)
    layout.folder.mkdir()
    write_stamp(layout.folder, stamp)
    with pytest.raises(EnvironmentSetupError, match=r"pip cannot install '.*bootstrap\.lock'"):
        setup_environment.ensure_environment(layout)
    assert read_stamp(layout.folder) is None


def test_finished_environment_is_left_alone(layout: Layout, capsys: pytest.CaptureFixture[str]):
    (layout.folder / "bin").mkdir(parents=True)
    (layout.folder / "bin/python").symlink_to(sys.executable)
    write_stamp(layout.folder, wanted(layout))
    setup_environment.ensure_environment(layout)
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in layout.folder.iterdir()) == ["bin", "loupe-setup.json"]


def test_failing_program_is_quoted_and_progress_is_passed_on(capsys: pytest.CaptureFixture[str]):
    script = "echo Resolved 3; echo ' Downloading tensorflow (5 MiB)'; echo the cause >&2; exit 7"
    with pytest.raises(EnvironmentSetupError, match=r"uv cannot \(exit code 7\)(?s:.*)the cause"):
        setup_environment.run_reporting(["sh", "-c", script], {"PATH": "/bin"}, "uv cannot")
    assert capsys.readouterr().out == "set-up: Downloading tensorflow (5 MiB)\n"


def test_command_line_reports_a_failure_and_its_exit_code(tmp_path: Path):
    answer = subprocess.run(
        [sys.executable, "-m", "tools.setup_environment", "--folder", tmp_path / ".venv"],
        cwd=ROOT,
        env={**os.environ, "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == EnvironmentSetupError.exit_code
    assert answer.stderr.startswith("set-up failed: pip cannot install")
    assert "Traceback" not in answer.stderr


def test_unknown_environment_lists_those_there_are(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        setup_environment.main(["gateway"])
    assert "'dev', 'pipeline', 'model-server'" in capsys.readouterr().err


def test_set_up_leaves_the_environment_that_it_may_remove(tmp_path: Path):
    # The interpreter of the tests is one of an environment, as in an activated shell.
    assert sys.prefix != sys.base_prefix
    code = f"""
import runpy, sys
sys.argv[1:] = ["--folder", {str(tmp_path / ".venv")!r}]
runpy.run_module("tools.setup_environment", run_name="__main__")
"""
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PIP_NO_INDEX": "1"},
        capture_output=True,
        check=False,
    )
    home = (tmp_path / ".venv/pyvenv.cfg").read_text().splitlines()[0]
    assert home == f"home = {sys.base_prefix}/bin"


def test_packages_have_bytecode_also_where_python_may_not_write_it():
    # A program with windows that nothing here imports: only set-up can have compiled it.
    (source,) = Path(sys.prefix).glob("lib/python3.11/site-packages/nltk/app/chartparser_app.py")
    assert Path(importlib.util.cache_from_source(source)).exists()
