"""Version folders and version policies."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.model_server.versions import (
    VersionPolicy,
    VersionPolicyKind,
    choose_versions,
    fingerprint,
    list_versions,
)

PRESENT = {version: Path(str(version)) for version in (1, 5, 9)}


def test_only_folders_with_numeric_names_are_versions(tmp_path):
    for name in ("1", "0000012", "3a", "-4", "+5", "\u0661", ".6", "99999999999999999999"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("a file")
    assert list_versions(tmp_path) == {1: tmp_path / "1", 12: tmp_path / "0000012"}


def test_of_two_names_of_one_version_the_last_counts(tmp_path):
    for name in ("7", "007"):
        (tmp_path / name).mkdir()
    assert list_versions(tmp_path) == {7: tmp_path / "7"}


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        list_versions(tmp_path / "none")


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (VersionPolicy(), {9}),
        (VersionPolicy(num_versions=2), {5, 9}),
        (VersionPolicy(num_versions=8), {1, 5, 9}),
        (VersionPolicy(kind=VersionPolicyKind.ALL), {1, 5, 9}),
        (VersionPolicy(kind=VersionPolicyKind.SPECIFIC, versions=frozenset({5, 6})), {5}),
    ],
)
def test_policies(policy, chosen):
    assert set(choose_versions(policy, PRESENT)) == chosen
    assert choose_versions(policy, {}) == {}


@given(st.sets(st.integers(0, 2**63 - 1)), st.integers(1, 10))
def test_latest_chooses_the_highest(versions, num_versions):
    policy = VersionPolicy(num_versions=num_versions)
    chosen = choose_versions(policy, {version: Path(str(version)) for version in versions})
    assert list(chosen) == sorted(versions, reverse=True)[:num_versions][::-1]


def test_a_fingerprint_shows_changed_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("1")
    before = fingerprint(tmp_path)
    assert before == fingerprint(tmp_path)
    (tmp_path / "a" / "b").write_text("12")
    assert fingerprint(tmp_path) != before
