"""`components.pusher.manifest`: which commit a pushed model comes from."""

import re
import subprocess

from components.pusher.manifest import COMMIT_FILENAME, git_commit


def test_a_clone_names_its_commit(tmp_path):
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init"], [*author, "commit", "--allow-empty", "--message=first"]):
        subprocess.run(["git", *words, "--quiet"], cwd=tmp_path, check=True)
    assert re.fullmatch(r"[0-9a-f]{40}", git_commit(tmp_path))


def test_an_image_names_the_commit_that_its_build_was_told(tmp_path):
    (tmp_path / COMMIT_FILENAME).write_text("0123abcd-dirty\n")
    assert git_commit(tmp_path) == "0123abcd-dirty"


def test_code_of_an_unknown_commit_names_none(tmp_path):
    assert git_commit(tmp_path) == ""
