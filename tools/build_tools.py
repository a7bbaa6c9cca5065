"""Lets packages without wheels be built on a machine that has no compiler and no Python headers."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from configs.errors import EnvironmentSetupError
from tools.private_apt import AptSource, fetch_packages

# Clang as a package of the index; its wrappers are named so that no host compiler is hidden.
C_COMPILER, CXX_COMPILER = "loupe-cc", "loupe-c++"
_DEBIAN_WHEELS = Path("/usr/share/python-wheels")
_UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "cert": "SSL_CERT_FILE",
    "timeout": "UV_HTTP_TIMEOUT",
}
Installer = Callable[[str, Path], None]


def build_environment(
    environ: Mapping[str, str], scratch: Path, install: Installer
) -> dict[str, str]:
    """Prepare the variables under which source packages are built.

    Args:
        environ: the process environment.
        scratch: folder for a compiler and headers, where the system has none.
        install: installs the lock of a given name into a folder.

    Returns:
        `environ`, with a compiler and headers added where they are missing.

    Raises:
        EnvironmentSetupError: headers are missing and apt cannot download them.
    """
    variables = dict(environ)
    if not has_headers(Path(sysconfig.get_path("include"))):
        fetch_packages(
            [f"libpython{sysconfig.get_python_version()}-dev"],
            scratch / "headers",
            scratch / "apt-host",
        )
        variables |= header_variables(variables, scratch / "headers/usr/include")
    if not has_compiler(variables):
        install("compiler", scratch / "compiler")
        variables |= compiler_variables(variables, scratch)
    return variables


def has_headers(folder: Path) -> bool:
    """Check for the headers that C extensions include.

    Args:
        folder: where Python says its headers are.

    Returns:
        True when Python.h is there.
    """
    return (folder / "Python.h").is_file()


def has_compiler(environ: Mapping[str, str]) -> bool:
    """Check for the compilers that Python would call.

    Args:
        environ: the process environment; CC and CXX win over the names Python was built with.

    Returns:
        True when a C and a C++ compiler are there and link.
    """
    for variable in ("CC", "CXX"):
        command = environ.get(variable) or str(sysconfig.get_config_var(variable) or "")
        program = command.split(" ")[0]
        if not program or shutil.which(program, path=environ.get("PATH")) is None:
            return False
    return True


def header_variables(environ: Mapping[str, str], include: Path) -> dict[str, str]:
    """Point compilers at unpacked headers.

    Args:
        environ: the process environment.
        include: the `usr/include` folder of a Debian package of headers.

    Returns:
        CPATH, which GCC and Clang search after the folders of the command line.
    """
    python_headers = include / f"python{sysconfig.get_python_version()}"
    folders = [str(python_headers), str(include), environ.get("CPATH", "")]
    return {"CPATH": ":".join(folder for folder in folders if folder)}


def compiler_variables(environ: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Write wrappers for the compiler of the package index and name them.

    Args:
        environ: the process environment.
        scratch: folder that holds the compiler below `compiler/`.

    Returns:
        The variables that make setuptools use it.
    """
    programs = scratch / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    zig = scratch / "compiler/ziglang/zig"
    for name, mode in ((C_COMPILER, "cc"), (CXX_COMPILER, "c++")):
        wrapper = programs / name
        wrapper.write_text(f'#!/bin/sh\nexec "{zig}" {mode} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
    return {
        "CC": C_COMPILER,
        "CXX": CXX_COMPILER,
        # Debian's own linker flags are for the GNU linker; this compiler's linker refuses some.
        "LDSHARED": f"{C_COMPILER} -shared",
        "LDCXXSHARED": f"{CXX_COMPILER} -shared",
        "PATH": f"{programs}:{environ.get('PATH', os.defpath)}",
        "ZIG_GLOBAL_CACHE_DIR": str(scratch / "compiler-cache"),
        "ZIG_LOCAL_CACHE_DIR": str(scratch / "compiler-cache"),
    }


def pip_wheel(scratch: Path, newer: AptSource | None = None) -> Path:
    """Find a pip that runs: Python's own, or Debian's, which ships it separately.

    Args:
        scratch: folder for the download.
        newer: the release after the host's, if set-up knows it; Ubuntu 22.04's own pip needs
            parts of Python 3.11 that no package of it has.

    Returns:
        A wheel of pip; Python runs it where it lies.

    Raises:
        EnvironmentSetupError: there is none, and apt cannot download one that runs.
    """
    fetched = scratch / "pip"
    bundled = Path(sysconfig.get_path("stdlib")) / "ensurepip/_bundled"
    for wheel in _find_wheels(bundled, _DEBIAN_WHEELS, fetched / "usr/share/python-wheels"):
        return wheel
    fetch_packages(["python3-pip-whl"], fetched, scratch / "apt-pip", newer)
    for wheel in _find_wheels(fetched / "usr/share/python-wheels"):
        return wheel
    raise EnvironmentSetupError(
        f"no pip runs with '{sys.executable}'. Install its venv package, such as python3.11-venv."
    )


def _find_wheels(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for wheel in sorted(folder.glob("pip-*.whl"), reverse=True):
            command = [sys.executable, str(wheel / "pip"), "--version"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                yield wheel


def pip_settings_for_uv(pip_config: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Carry the person's package index and certificates over from pip, which uv does not read.

    Args:
        pip_config: output of `pip config list`, lines such as `global.index-url='https://...'`.
        environ: the process environment; what it already says to uv wins.

    Returns:
        Variables for uv.
    """
    found: dict[str, str] = {}
    for line in pip_config.splitlines():
        name, separator, value = line.partition("=")
        variable = _UV_VARIABLES.get(name.rpartition(".")[2])
        if separator and variable:
            found[variable] = value.strip().strip("'\"")
    found.setdefault("UV_HTTP_TIMEOUT", "180")
    return {name: value for name, value in found.items() if not environ.get(name)}


def read_pip_config(wheel: Path) -> str:
    """Ask pip for its settings.

    Args:
        wheel: pip.

    Returns:
        One setting per line; empty when pip has none or cannot read them.
    """
    command = [sys.executable, str(wheel / "pip"), "config", "list"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
