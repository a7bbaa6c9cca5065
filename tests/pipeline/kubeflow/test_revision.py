import pytest

from configs.errors import ConfigError
from pipeline.kubeflow.revision import Revision, find_revision


@pytest.mark.parametrize("dirty", ["", "-dirty"])
def test_an_image_knows_the_commit_that_its_build_was_told(tmp_path, dirty):
    commit = "0123456789" * 4
    (tmp_path / "git-commit.txt").write_text(commit + dirty)
    assert find_revision(tmp_path) == Revision(commit, is_dirty=bool(dirty))


def test_an_image_that_was_told_nothing_asks_for_a_name(tmp_path):
    (tmp_path / "git-commit.txt").write_text("")
    with pytest.raises(ConfigError, match="built without GIT_COMMIT.*--version"):
        find_revision(tmp_path)


def test_a_clean_commit_names_the_version_whatever_was_compiled():
    clean = Revision("0123456789abcdef", is_dirty=False)
    assert clean.version_name(b"1") == clean.version_name(b"2") == "git-0123456789ab"


def test_a_dirty_tree_is_named_by_what_was_compiled():
    dirty = Revision("0123456789abcdef", is_dirty=True)
    assert dirty.version_name(b"1").startswith("git-0123456789ab-dirty-")
    assert dirty.version_name(b"1") != dirty.version_name(b"2")
