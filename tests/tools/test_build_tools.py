import os
import subprocess
import sys
from pathlib import Path

import pytest

from configs.errors import EnvironmentSetupError
from tools import build_tools


def test_pip_that_comes_with_python_runs_where_it_lies(tmp_path: Path):
    wheel = build_tools.pip_wheel(tmp_path)
    command = [sys.executable, str(wheel / "pip"), "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout[:4] == "pip "


def test_pip_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pip-99.0-py3-none-any.whl").write_text("not a wheel")
    monkeypatch.setattr(build_tools, "_DEBIAN_WHEELS", tmp_path)
    monkeypatch.setattr(build_tools.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentSetupError, match="python3-pip-whl must be fetched with apt-get"):
        build_tools.pip_wheel(tmp_path / "scratch")


def test_no_pip_that_runs_is_said_with_the_package_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(build_tools, "_DEBIAN_WHEELS", tmp_path)
    monkeypatch.setattr(build_tools.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(build_tools, "fetch_packages", lambda *_: None)
    with pytest.raises(EnvironmentSetupError, match=r"no pip runs with .* python3\.11-venv"):
        build_tools.pip_wheel(tmp_path / "scratch")


def test_compilers_are_looked_for_on_the_given_path(tmp_path: Path):
    for name in ("my-cc", "my-c++"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    names = {"CC": "my-cc -pthread", "CXX": "my-c++"}
    assert build_tools.has_compiler({**names, "PATH": str(tmp_path)})
    assert not build_tools.has_compiler({**names, "PATH": str(tmp_path / "empty")})
    (tmp_path / "my-c++").unlink()
    assert not build_tools.has_compiler({**names, "PATH": str(tmp_path)})


def test_compiler_of_the_index_is_brought_only_where_there_is_none(tmp_path: Path):
    installed: list[str] = []
    environ = {"PATH": str(tmp_path), "HOME": "/home"}
    variables = build_tools.build_environment(
        environ, tmp_path, lambda name, _: installed.append(name)
    )
    assert installed == ["compiler"]
    assert variables["HOME"] == "/home"
    assert build_tools.has_compiler(variables)
    assert build_tools.build_environment(variables, tmp_path, pytest.fail) == variables


def test_wrapper_passes_every_argument_on(tmp_path: Path):
    folder = tmp_path / "a folder"
    compiler = folder / "compiler/ziglang/zig"
    compiler.parent.mkdir(parents=True)
    compiler.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    compiler.chmod(0o755)
    variables = build_tools.compiler_variables({"PATH": "/usr/bin:/bin"}, folder)
    answer = subprocess.run(
        [build_tools.CXX_COMPILER, "-c", "a file.cc"],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines() == ["c++", "-c", "a file.cc"]


def test_unpacked_headers_come_before_those_of_the_person(tmp_path: Path):
    path = build_tools.header_variables({"CPATH": "/mine"}, tmp_path)["CPATH"]
    assert path == f"{tmp_path}/python3.11:{tmp_path}:/mine"
    assert not build_tools.header_variables({}, tmp_path)["CPATH"].endswith(":")


def test_headers_are_there_when_python_h_is(tmp_path: Path):
    assert not build_tools.has_headers(tmp_path)
    (tmp_path / "Python.h").write_text("")
    assert build_tools.has_headers(tmp_path)


def test_index_and_certificates_of_pip_reach_uv():
    config = (
        "global.index-url='https://mirror.test/simple'\n:env:.cert='/ca.pem'\nglobal.no-color='1'\n"
    )
    assert build_tools.pip_settings_for_uv(config, {}) == {
        "UV_DEFAULT_INDEX": "https://mirror.test/simple",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_HTTP_TIMEOUT": "180",
    }


def test_what_is_said_to_uv_wins_over_pip():
    environ = {"UV_DEFAULT_INDEX": "https://mine.test", "UV_HTTP_TIMEOUT": "9"}
    assert build_tools.pip_settings_for_uv("global.index-url='https://x.test'", environ) == {}


def test_settings_of_pip_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.test/simple")
    config = build_tools.read_pip_config(build_tools.pip_wheel(tmp_path))
    settings = build_tools.pip_settings_for_uv(config, {})
    assert settings["UV_DEFAULT_INDEX"] == "https://mirror.test/simple"
    assert os.environ["PIP_INDEX_URL"] == "https://mirror.test/simple"
