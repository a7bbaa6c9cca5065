import os
import signal
import subprocess
import sys
import time
import uuid

import pytest
from tfx.dsl.io import fileio

from components.pusher.versions import (
    ABANDONED_SECONDS,
    TEMPORARY_PREFIX,
    next_version,
    publish,
)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"weights")
    return folder


def add_nothing(folder, version):
    pass


def test_a_version_appears_whole(model, tmp_path):
    base = tmp_path / "serving"

    def add_manifest(folder, version):
        assert not (base / str(version)).exists()
        (folder / "manifest.json").write_text(str(version))

    version, path = publish(model, str(base), add_manifest)
    assert path == str(base / str(version))
    assert (base / str(version) / "manifest.json").read_text() == str(version)
    assert [entry.name for entry in base.iterdir()] == [str(version)]


def test_versions_grow_even_within_one_second(model, tmp_path):
    versions = [publish(model, str(tmp_path / "serving"), add_nothing)[0] for _ in range(3)]
    assert versions == sorted(set(versions))


def test_a_version_from_the_future_is_topped(tmp_path):
    (tmp_path / "99999999999").mkdir()
    (tmp_path / "not-a-version").mkdir()
    assert next_version(str(tmp_path)) == 100000000000


def test_a_failing_step_leaves_no_version(model, tmp_path):
    def fail(folder, version):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(model, str(tmp_path / "serving"), fail)
    assert all(name.startswith(TEMPORARY_PREFIX) for name in os.listdir(tmp_path / "serving"))


def test_a_killed_push_leaves_no_version_and_the_next_one_cleans_up(model, tmp_path):
    base = tmp_path / "serving"
    program = (
        "import time; from pathlib import Path\n"
        "from components.pusher.versions import publish\n"
        "def prepare(folder, version):\n"
        "    print('copied', flush=True)\n"
        "    time.sleep(600)\n"
        f"publish(Path({str(model)!r}), {str(base)!r}, prepare)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"copied\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [name for name in os.listdir(base) if name.isdecimal()] == []
    version, _ = publish(model, str(base), add_nothing)
    assert os.listdir(base) == [str(version)]
    assert version <= time.time() + 1


def test_runs_that_push_at_once_from_two_pods_leave_two_whole_versions(
    model, tmp_path, monkeypatch
):
    base = tmp_path / "serving"
    others = []

    def push_meanwhile(folder, version):
        if not others:
            with monkeypatch.context() as pod:
                pod.setattr("socket.gethostname", lambda: "other-pod")
                others.append(publish(model, str(base), add_nothing)[0])

    version, _ = publish(model, str(base), push_meanwhile)
    assert version not in others
    assert sorted(os.listdir(base)) == sorted(map(str, [version, *others]))
    for each in (version, *others):
        assert (base / str(each) / "saved_model.pb").read_bytes() == b"graph"
        assert (base / str(each) / "variables" / "data").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["100-other-pod-7", "100"])
def test_what_another_machine_left_incomplete_goes_after_a_day(model, tmp_path, name):
    leftover = tmp_path / f"{TEMPORARY_PREFIX}{name}"
    leftover.mkdir()
    publish(model, str(tmp_path), add_nothing)
    assert leftover.exists(), "somebody may be copying into it"
    old = time.time() - ABANDONED_SECONDS - 1
    os.utime(leftover, (old, old))
    publish(model, str(tmp_path), add_nothing)
    assert not leftover.exists()


def test_a_rename_that_fails_for_another_reason_is_told(model, tmp_path, monkeypatch):
    def refuse(self, target):
        raise OSError("not permitted")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(OSError, match="not permitted"):
        publish(model, str(tmp_path), add_nothing)


def test_where_folders_cannot_be_renamed_the_graph_comes_last(model, monkeypatch):
    base = f"ram://{uuid.uuid4()}"
    copied = []
    copy = fileio.copy
    monkeypatch.setattr(
        fileio, "copy", lambda source, target: (copied.append(target), copy(source, target))
    )
    _, path = publish(model, base, add_nothing)
    assert copied[-1] == f"{path}/saved_model.pb"
    with fileio.open(f"{path}/variables/data", "rb") as file:
        assert file.read() == b"weights"
    assert not list(model.parent.glob(f"{TEMPORARY_PREFIX}*"))
