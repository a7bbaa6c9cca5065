import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import checks
from pipeline.cli.checks import Status


def test_python_other_than_3_11_is_a_problem_with_the_way_to_another():
    assert checks.check_python((3, 11, 9)).status is Status.OK
    finding = checks.check_python((3, 12, 1))
    assert finding.status is Status.PROBLEM
    assert finding.detail == "3.12.1, expected 3.11"
    assert "make setup PYTHON=/path/to/python3.11" in finding.fix


@pytest.mark.parametrize("text", ["glibc 2.36", "glibc 2.4", "glibc 1.99", "", "musl 1.2"])
def test_old_or_foreign_c_library_is_a_problem(text: str):
    finding = checks.check_glibc(text)
    assert finding.status is Status.PROBLEM
    assert "expected 2.39" in finding.detail
    assert "make setup" in finding.fix


@pytest.mark.parametrize("text", ["glibc 2.39", "glibc 2.41", "glibc 3.0"])
def test_new_c_library_is_fine(text: str):
    assert checks.check_glibc(text).status is Status.OK


def test_python_that_refuses_the_wheels_of_tfx_is_a_problem():
    assert checks.check_wheel_tags({"manylinux_2_39_x86_64"}).status is Status.OK
    finding = checks.check_wheel_tags({"manylinux_2_36_x86_64", "linux_x86_64"})
    assert finding.status is Status.PROBLEM
    assert finding.detail == "does not accept manylinux_2_39_x86_64"


def test_packages_of_another_version_and_missing_ones_are_named():
    lock = "# by make lock\nnumpy==2.4.6 \\\n    --hash=sha256:1\ntfx==1.21.0\nrich==1.0\n"
    installed = {"numpy": "2.3.0", "rich": "1.0"}
    finding = checks.check_packages(lock, installed.get)
    assert finding.status is Status.PROBLEM
    assert (
        finding.detail == "2 of 3 differ: numpy 2.3.0 (locked 2.4.6), tfx missing (locked 1.21.0)"
    )
    assert checks.check_packages("rich==1.0\n", installed.get).status is Status.OK


def test_many_different_packages_are_cut_short():
    lock = "".join(f"p{i}==1\n" for i in range(9))
    detail = checks.check_packages(lock, lambda _: None).detail
    assert detail.startswith("9 of 9 differ: p0 missing (locked 1), ")
    assert detail.endswith(", ...")
    assert "p3" not in detail


def test_no_lock_file_is_a_warning():
    assert checks.check_packages("", lambda _: None).status is Status.WARNING


def test_disk_is_measured_at_the_nearest_folder_that_exists(tmp_path: Path):
    finding = checks.check_disk(tmp_path / "not" / "yet")
    assert "GB free" in finding.detail
    assert not (tmp_path / "not").exists()


def test_little_disk_is_a_warning_and_none_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    monkeypatch.setattr(checks, "DISK_NEEDED_BYTES", 4 * free)
    assert checks.check_disk(tmp_path).status is Status.WARNING
    monkeypatch.setattr(checks, "DISK_MINIMUM_BYTES", 2 * free)
    finding = checks.check_disk(tmp_path)
    assert finding.status is Status.PROBLEM
    assert "WORKSPACE=/path" in finding.fix


def test_disk_below_a_file_is_measured_where_the_file_lies(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert "GB free" in checks.check_disk(tmp_path / "file" / "workspace").detail


@pytest.mark.parametrize(
    ("gibibytes", "status"), [(4, Status.OK), (3, Status.WARNING), (1, Status.PROBLEM)]
)
def test_memory_is_judged_by_what_a_run_takes(gibibytes: int, status: Status):
    finding = checks.check_memory(gibibytes * 2**30)
    assert finding.status is status
    assert f"{gibibytes}.0 GiB available" in finding.detail


@given(st.integers(min_value=0, max_value=2**45))
def test_every_memory_finding_that_is_not_ok_says_what_to_do(available_bytes: int):
    finding = checks.check_memory(available_bytes)
    assert bool(finding.fix) == (finding.status is not Status.OK)


def test_no_gpu_is_fine():
    finding = checks.check_gpu([], None, False)
    assert finding.status is Status.OK
    assert "CPU" in finding.detail


def test_gpu_without_a_driver_or_libraries_is_a_warning():
    device = Path("/dev/nvidia0")
    listing = "GPU 0: NVIDIA H200 (UUID: GPU-1)"
    assert "driver" in checks.check_gpu([device], None, True).fix
    assert "tensorflow[and-cuda]" in checks.check_gpu([device], listing, False).fix
    finding = checks.check_gpu([device], listing, True)
    assert (finding.status, finding.detail) == (Status.OK, "GPU 0: NVIDIA H200")


def test_taken_port_is_a_warning_and_a_free_one_is_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        finding = checks.check_port("REST", port)
        assert finding.status is Status.WARNING
        assert f"{port} is taken" in finding.detail
        assert "REST_PORT=" in finding.fix
    assert checks.check_port("REST", port).status is Status.OK


def test_any_model_server_will_do():
    assert checks.check_model_server("/usr/bin/tensorflow_model_server", False).status is Status.OK
    assert "python -m serving.model_server" in checks.check_model_server(None, True).detail
    assert checks.check_model_server(None, False).status is Status.PROBLEM


def test_docker_may_be_missing_but_not_silent():
    assert checks.check_docker(None, None).status is Status.OK
    assert checks.check_docker("/usr/bin/docker", "ID").status is Status.OK
    assert checks.check_docker("/usr/bin/docker", None).status is Status.WARNING


def test_folder_that_cannot_be_written_to_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Root may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda *_: False)
    finding = checks.check_disk(tmp_path)
    assert finding.status is Status.PROBLEM
    assert "cannot be written to" in finding.detail
