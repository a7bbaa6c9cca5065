from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import EnvironmentSetupError
from tools import private_apt
from tools.private_apt import AptSource

UBUNTU_LIST = """\
# See the manual
deb http://mirror.test/ubuntu/ jammy main restricted   # a note
deb-src http://mirror.test/ubuntu/ jammy main
deb [arch=amd64 signed-by=/keys/u.gpg trusted=yes] http://mirror.test/ubuntu jammy-updates universe
deb incomplete
"""
DEBIAN_SOURCES = """\
# http://snapshot.test/archive
Types: deb deb-src
URIs: http://mirror.test/debian http://second.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /keys/debian.gpg

Enabled: no
Types: deb
URIs: http://off.test
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.test
Suites: bookworm
Components: main

types: deb
uris: mirror+file:/etc/apt/mirrors/debian.list
suites: trixie
components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_one_line_format_keeps_binary_sources_with_their_keys():
    assert private_apt.parse_one_line(UBUNTU_LIST) == [
        AptSource("http://mirror.test/ubuntu/", "jammy", ("main", "restricted")),
        AptSource(
            "http://mirror.test/ubuntu",
            "jammy-updates",
            ("universe",),
            {"signed-by": "/keys/u.gpg", "trusted": "yes"},
        ),
    ]


def test_deb822_format_keeps_enabled_binary_sources():
    sources = private_apt.parse_deb822(DEBIAN_SOURCES)
    assert [(source.uri, source.suite) for source in sources] == [
        ("http://mirror.test/debian", "bookworm"),
        ("http://mirror.test/debian", "bookworm-updates"),
        ("http://second.test/debian", "bookworm"),
        ("http://second.test/debian", "bookworm-updates"),
        ("mirror+file:/etc/apt/mirrors/debian.list", "trixie"),
    ]
    assert sources[0].components == ("main", "contrib")
    assert sources[0].options == {"signed-by": "/keys/debian.gpg"}


def test_key_that_is_written_in_place_survives():
    source = private_apt.parse_deb822(DEBIAN_SOURCES)[-1]
    assert private_apt.parse_deb822(private_apt.render(source)) == [source]
    assert " mQINBF" in private_apt.render(source).splitlines()


words = st.from_regex(r"[a-z][a-z0-9:/.+-]{0,20}", fullmatch=True)


@given(words, words, st.lists(words, min_size=1, max_size=3), words)
def test_rendered_source_reads_back_in_both_formats(
    uri: str, suite: str, components: list[str], key: str
):
    source = AptSource(uri, suite, tuple(components), {"signed-by": key})
    line = f"deb [signed-by={key}] {uri} {suite} {' '.join(components)}"
    assert private_apt.parse_deb822(private_apt.render(source)) == [source]
    assert private_apt.parse_one_line(line) == [source]


@given(st.text())
def test_any_text_is_read_without_an_error(text: str):
    private_apt.parse_one_line(text)
    private_apt.parse_deb822(text)


def test_sources_are_read_from_every_file_of_apt(tmp_path: Path):
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.test/ one main\n")
    (parts / "b.list").write_text("deb http://b.test/ two main\n")
    (parts / "c.sources").write_text(DEBIAN_SOURCES)
    (parts / "d.list.save").write_text("deb http://d.test/ three main\n")
    suites = [source.suite for source in private_apt.read_sources(tmp_path)]
    assert suites[:3] == ["one", "two", "bookworm"]
    assert "three" not in suites


def test_machine_without_apt_has_no_sources(tmp_path: Path):
    assert private_apt.read_sources(tmp_path / "apt") == []


def test_next_release_comes_from_the_hosts_own_mirror_and_keys():
    sources = private_apt.parse_deb822(DEBIAN_SOURCES)
    assert private_apt.source_for_suite(sources, "bookworm", "trixie") == AptSource(
        "http://mirror.test/debian",
        "trixie",
        ("main", "contrib"),
        {"signed-by": "/keys/debian.gpg"},
    )


def test_components_on_separate_lines_are_joined():
    lines = "deb http://x.test jammy main\ndeb http://x.test jammy universe\n"
    sources = private_apt.parse_one_line(lines)
    source = private_apt.source_for_suite(sources, "jammy", "noble")
    assert source.components == ("main", "universe")


def test_mirror_that_names_its_suite_stable_is_used():
    sources = [AptSource("http://x.test", "other", ("main",)), AptSource("u", "stable", ("main",))]
    assert private_apt.source_for_suite(sources, "bookworm", "trixie").uri == "u"


def test_no_mirror_is_said_in_one_sentence_with_the_way_out():
    sources = [AptSource("http://tools.test", "bookworm", ("extra",))]
    with pytest.raises(EnvironmentSetupError, match=r"no mirror for 'bookworm main'") as caught:
        private_apt.source_for_suite(sources, "bookworm", "trixie")
    assert "Use Debian 13 or Ubuntu 24.04, or a container of one of them." in str(caught.value)


def test_system_without_apt_is_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        EnvironmentSetupError, match=r"libc6 must be fetched with apt-get"
    ) as caught:
        private_apt.fetch_packages(["libc6"], tmp_path / "target", tmp_path / "scratch")
    assert private_apt.WAY_OUT in str(caught.value)


APT_THAT_FAILS = """#!/bin/sh
echo "E: Unable to locate package $*" | cut -c1-60
exit 100
"""


def test_failed_download_gives_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("apt-get", "dpkg-deb"):
        (tmp_path / name).write_text(APT_THAT_FAILS)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        EnvironmentSetupError, match=r"could not download libc6 \(E: Unable to locate package"
    ):
        private_apt.fetch_packages(["libc6"], tmp_path / "target", tmp_path / "scratch")
    assert not (tmp_path / "target").exists()


def test_os_release_is_read_without_quotes():
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n\nVERSION_ID="12"\n# x\n'
    values = private_apt.read_os_release(text)
    assert values["PRETTY_NAME"] == "Debian GNU/Linux 12 (bookworm)"
    assert (values["ID"], values["VERSION_ID"]) == ("debian", "12")
