import dataclasses
import sys
import sysconfig
from pathlib import Path

import pytest

from tools.stamp import (
    STAMP_FILENAME,
    Stamp,
    can_update,
    hash_files,
    is_current,
    read_stamp,
    remove_stamp,
    write_stamp,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    environment = tmp_path / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").symlink_to(sys.executable)
    return environment


def make_stamp(folder: Path, **changes: str | bool) -> Stamp:
    stamp = Stamp(str(folder), "dev", False, "recipe", "packages", sysconfig.get_path("stdlib"))
    return dataclasses.replace(stamp, **changes)  # pyright: ignore[reportArgumentType]


def test_finished_environment_needs_nothing(folder: Path):
    stamp = make_stamp(folder)
    write_stamp(folder, stamp)
    assert is_current(read_stamp(folder), stamp)


def test_environment_made_from_another_python_3_11_needs_nothing(folder: Path):
    write_stamp(folder, make_stamp(folder))
    assert is_current(read_stamp(folder), make_stamp(folder, base_library="/other/lib/python3.11"))


def test_interrupted_environment_is_made_again(folder: Path):
    write_stamp(folder, make_stamp(folder))
    remove_stamp(folder)
    assert read_stamp(folder) is None
    assert not is_current(None, make_stamp(folder))
    assert not can_update(None, make_stamp(folder))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"folder": "x"}', '{"new": 1}'])
def test_unreadable_stamp_counts_as_none(folder: Path, text: str):
    (folder / STAMP_FILENAME).write_text(text)
    assert read_stamp(folder) is None


def test_environment_without_its_interpreter_is_made_again(folder: Path):
    write_stamp(folder, make_stamp(folder))
    (folder / "bin/python").unlink()
    assert read_stamp(folder) is None


def test_environment_whose_python_was_removed_is_made_again(folder: Path):
    write_stamp(folder, make_stamp(folder, base_library=str(folder / "gone")))
    assert read_stamp(folder) is None


@pytest.mark.parametrize(
    "change", [{"folder": "/moved"}, {"recipe": "new"}, {"has_private_libc": True}]
)
def test_moved_or_differently_made_environment_is_made_again(
    folder: Path, change: dict[str, str | bool]
):
    stamp = make_stamp(folder)
    wanted = dataclasses.replace(stamp, **change)  # pyright: ignore[reportArgumentType]
    assert not is_current(stamp, wanted)
    assert not can_update(stamp, wanted)


@pytest.mark.parametrize("change", [{"packages": "new"}, {"environment": "pipeline"}])
def test_other_packages_are_only_installed(folder: Path, change: dict[str, str]):
    stamp, wanted = make_stamp(folder), make_stamp(folder, **change)
    assert not is_current(stamp, wanted)
    assert can_update(stamp, wanted)


def test_removing_a_stamp_twice_is_harmless(tmp_path: Path):
    remove_stamp(tmp_path)
    remove_stamp(tmp_path / "nowhere")


def test_hash_sees_every_content_name_and_border(tmp_path: Path):
    first, second = tmp_path / "a.lock", tmp_path / "b.lock"
    hashes: set[str] = set()
    for contents in (("ab", "c"), ("a", "bc"), ("abc", "")):
        first.write_text(contents[0])
        second.write_text(contents[1])
        hashes.add(hash_files([first, second]))
    assert len(hashes) == 3
    assert hash_files([first]) != hash_files([second])
