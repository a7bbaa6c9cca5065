import json
import os
import pathlib
import signal
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tfx.dsl.io import fileio

from components.blessed.pointer import (
    KEPT_VERSIONS,
    POINTER_FILENAME,
    BlessedVersion,
    find_baseline_version,
    promote,
    read_pointer,
    write_pointer,
)
from configs.errors import DataError


def blessed(version, model="model"):
    return BlessedVersion(version, f"{model}-{version}", "2026-11-21T00:00:00+00:00")


def push(folder, *versions):
    for version in versions:
        fileio.makedirs(f"{folder}/{version}")
        with fileio.open(f"{folder}/{version}/saved_model.pb", "w") as file:
            file.write("graph")


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path):
    # TensorFlow's file system in memory stands for an object store: reached by URL only.
    return str(tmp_path) if request.param == "local" else f"ram://{uuid.uuid4()}"


def test_without_a_pointer_there_is_no_baseline(folder):
    assert read_pointer(folder) == []
    assert find_baseline_version(folder, "candidate") is None


def test_the_baseline_is_the_newest_blessed_version_that_is_not_the_candidate(folder):
    push(folder, 1, 2)
    assert promote(folder, blessed(1))
    assert promote(folder, blessed(2))
    assert find_baseline_version(folder, "another model") == 2
    assert find_baseline_version(folder, "model-2") == 1


def test_a_candidate_that_was_the_first_has_no_baseline(folder):
    push(folder, 1)
    promote(folder, blessed(1))
    assert find_baseline_version(folder, "model-1") is None


def test_a_deleted_version_is_passed_over(folder):
    push(folder, 1)
    promote(folder, blessed(1))
    promote(folder, blessed(2))
    assert find_baseline_version(folder, "another model") == 1


def test_promoting_again_or_an_older_version_changes_nothing(folder):
    promote(folder, blessed(2))
    before = read_pointer(folder)
    assert not promote(folder, blessed(2, "other"))
    assert not promote(folder, blessed(1))
    assert read_pointer(folder) == before


def test_only_the_newest_versions_are_kept(tmp_path):
    for version in range(KEPT_VERSIONS + 5):
        promote(str(tmp_path), blessed(version + 1))
    versions = [row.version for row in read_pointer(str(tmp_path))]
    assert versions == list(range(KEPT_VERSIONS + 5, 5, -1))


@given(
    st.lists(
        st.builds(BlessedVersion, st.integers(1, 1 << 40), st.text(), st.text()),
        max_size=KEPT_VERSIONS,
    )
)
def test_what_is_written_is_read(tmp_path_factory, versions):
    folder = str(tmp_path_factory.mktemp("models"))
    write_pointer(folder, versions)
    assert read_pointer(folder) == versions


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"blessed": [{"version": 1}]}', "null"])
def test_a_pointer_that_cannot_be_read_says_what_to_do(tmp_path, text):
    (tmp_path / POINTER_FILENAME).write_text(text)
    with pytest.raises(DataError, match="is not a list of blessed versions.*Remove it"):
        read_pointer(str(tmp_path))


def test_a_killed_promotion_leaves_the_pointer_whole(tmp_path):
    promote(str(tmp_path), blessed(1))
    program = f"""
import os, pathlib
from components.blessed import pointer
pathlib.Path.rename = lambda *_: (print("written", flush=True), __import__("time").sleep(60))
pointer.promote({str(tmp_path)!r}, pointer.BlessedVersion(2, "model-2", ""))
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [row.version for row in read_pointer(str(tmp_path))] == [1]
    assert promote(str(tmp_path), blessed(2))
    assert json.loads((tmp_path / POINTER_FILENAME).read_text())["blessed"][0]["version"] == 2


def test_promotions_at_once_from_two_pods_use_files_of_their_own(tmp_path, monkeypatch):
    rename = pathlib.Path.rename

    def promote_meanwhile(self, target):
        monkeypatch.setattr("pathlib.Path.rename", rename)
        monkeypatch.setattr("socket.gethostname", lambda: "other-pod")
        assert promote(str(tmp_path), blessed(1))
        return rename(self, target)

    monkeypatch.setattr("pathlib.Path.rename", promote_meanwhile)
    assert promote(str(tmp_path), blessed(2))
    assert read_pointer(str(tmp_path))[0].version == 2


def test_model_servers_do_not_take_the_pointer_for_a_version(tmp_path):
    push(str(tmp_path), 1)
    promote(str(tmp_path), blessed(1))
    assert [name for name in os.listdir(tmp_path) if name.isdecimal()] == ["1"]
