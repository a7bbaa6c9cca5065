"""Gives one interpreter a newer C library than the host's, inside the environment.

The Linux wheels of ml-metadata and tensorflow-data-validation need glibc 2.39. Where the host's is
older, the C library of the distribution's next release is unpacked into the environment and the
copied interpreter is pointed at it; the system stays as it is.
"""

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from configs.errors import EnvironmentSetupError
from configs.machine import ARCHITECTURE, GLIBC_VERSION
from tools.private_apt import (
    WAY_OUT,
    AptSource,
    fetch_packages,
    read_os_release,
    read_sources,
    source_for_suite,
)

PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
OS_RELEASE = Path("/etc/os-release")
LOADER = "ld-linux-x86-64.so.2"
# Releases whose next one has the C library; apt's keys of the older accept the newer.
NEXT_SUITE = {("debian", "12"): "trixie", ("ubuntu", "22.04"): "noble"}


def host_glibc() -> tuple[int, int]:
    """Ask the running interpreter for its C library.

    Returns:
        Major and minor version of glibc.

    Raises:
        EnvironmentSetupError: it is not glibc, or the machine is not x86-64.
    """
    if platform.machine() != ARCHITECTURE:
        raise EnvironmentSetupError(
            f"this machine is {platform.machine()}, but TFX publishes packages for "
            f"{ARCHITECTURE} only. Use such a machine, or a container of one."
        )
    try:
        text = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        text = ""
    return parse_glibc(text)


def parse_glibc(text: str) -> tuple[int, int]:
    """Read a version as the C library words it.

    Args:
        text: such as 'glibc 2.36'.

    Returns:
        Major and minor version.

    Raises:
        EnvironmentSetupError: it is not glibc.
    """
    name, _, version = text.partition(" ")
    numbers = version.split(".")[:2]
    if name != "glibc" or len(numbers) != 2 or not all(number.isdigit() for number in numbers):
        raise EnvironmentSetupError(
            f"the C library of this system is '{text or 'unknown'}', but TFX needs glibc. {WAY_OUT}"
        )
    return int(numbers[0]), int(numbers[1])


def is_too_old(glibc: tuple[int, int]) -> bool:
    """Decide whether the wheels refuse this C library.

    Args:
        glibc: major and minor version.

    Returns:
        True below 2.39; versions compare as numbers, so 2.4 is older than 2.39.
    """
    return glibc < GLIBC_VERSION


def next_suite(os_release: Mapping[str, str], glibc: tuple[int, int]) -> str:
    """Choose the release that a newer C library can be taken from.

    Args:
        os_release: values of /etc/os-release.
        glibc: the host's version, for the message.

    Returns:
        Name of the suite.

    Raises:
        EnvironmentSetupError: nobody tried this on the host's distribution.
    """
    key = (os_release.get("ID", ""), os_release.get("VERSION_ID", ""))
    if key not in NEXT_SUITE:
        name = os_release.get("PRETTY_NAME") or "this system"
        raise EnvironmentSetupError(
            f"{name} has glibc {glibc[0]}.{glibc[1]}, TFX needs 2.39 or newer, and set-up can "
            f"bring a newer one only on Debian 12 and Ubuntu 22.04. {WAY_OUT}"
        )
    return NEXT_SUITE[key]


def next_source(glibc: tuple[int, int]) -> AptSource:
    """Find the packages of the release after the host's.

    Args:
        glibc: the host's version, for the message.

    Returns:
        That release at the host's own mirror.

    Raises:
        EnvironmentSetupError: the host's distribution or mirror does not allow it.
    """
    text = OS_RELEASE.read_text(encoding="utf-8") if OS_RELEASE.is_file() else ""
    os_release = read_os_release(text)
    suite = next_suite(os_release, glibc)
    return source_for_suite(read_sources(), os_release.get("VERSION_CODENAME", ""), suite)


def fetch_libc(target: Path, scratch: Path, glibc: tuple[int, int]) -> Path:
    """Unpack the next release's C library below a folder.

    Args:
        target: folder to unpack into.
        scratch: folder for apt's private state.
        glibc: the host's version.

    Returns:
        The folder of the loader and the libraries.

    Raises:
        EnvironmentSetupError: the host's distribution, mirror or apt does not allow it.
    """
    source = next_source(glibc)
    fetch_packages(PACKAGES, target, scratch, source)
    for loader in sorted(target.rglob(LOADER)):
        if (loader.parent / "libstdc++.so.6").exists():
            return loader.parent
    raise EnvironmentSetupError(f"'{target}' has no {LOADER} of suite '{source.suite}'. {WAY_OUT}")


def patch_interpreter(python: Path, libraries: Path, patchelf: Path) -> None:
    """Point a copied interpreter at a private C library and check that it runs with it.

    Args:
        python: the interpreter, a file and not a link.
        libraries: folder of the loader and the libraries.
        patchelf: the program that edits it.

    Raises:
        EnvironmentSetupError: the interpreter does not run with the new library.
    """
    own_libraries = (str(sysconfig.get_config_var("LIBDIR")), str(Path(sys.base_prefix) / "lib"))
    search_path = ":".join(dict.fromkeys([str(libraries), *own_libraries]))
    command: list[str | Path] = [patchelf, "--set-interpreter", libraries / LOADER, "--force-rpath"]
    command += ["--set-rpath", search_path, "--add-needed", "libstdc++.so.6", python]
    subprocess.run(command, check=True)
    answer = _ask_for_libc(python)
    if not answer or is_too_old(parse_glibc(answer)):
        raise EnvironmentSetupError(
            f"'{python}' runs with '{answer or 'no library'}', expected glibc 2.39 or newer. "
            f"{WAY_OUT}"
        )


def _ask_for_libc(python: Path) -> str:
    question = "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"
    try:
        answer = subprocess.run(
            [python, "-c", question], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.strip()
