"""Which commit the code is, as the name of a pipeline version."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from components.pusher.manifest import COMMIT_FILENAME, git_commit
from configs.errors import ConfigError

DIRTY_SUFFIX = "-dirty"
_HASH_DIGITS = 12
_CONTENT_DIGITS = 8
_GIT_SECONDS = 30


@dataclass(frozen=True)
class Revision:
    """A state of the code.

    Attributes:
        commit: the commit's full hash.
        is_dirty: files differ from it, or lie beside it unknown to git.
    """

    commit: str
    is_dirty: bool

    def version_name(self, compiled: bytes) -> str:
        """Name the pipeline version of this state.

        Args:
            compiled: the compiled file. A dirty tree has no name of its own, so that its content
                names it, and the same content twice is one version.

        Returns:
            `git-<hash>`, followed by `-dirty-<digest>` where files differ from the commit.
        """
        name = f"git-{self.commit[:_HASH_DIGITS]}"
        return (
            f"{name}{DIRTY_SUFFIX}-{digest_of(compiled)[:_CONTENT_DIGITS]}"
            if self.is_dirty
            else name
        )


def digest_of(compiled: bytes) -> str:
    """Digest a compiled file.

    Args:
        compiled: its bytes.

    Returns:
        Hexadecimal SHA-256.
    """
    return hashlib.sha256(compiled).hexdigest()


def find_revision(folder: Path) -> Revision:
    """Look which commit a folder of code is at.

    Args:
        folder: a git work tree.

    Returns:
        Its revision; in an image, what its build was told.

    Raises:
        ConfigError: the folder is no clone, has no commit, or git is missing.
    """
    if (folder / COMMIT_FILENAME).is_file():
        told = git_commit(folder)
        if not told:
            raise ConfigError(
                f"'{folder / COMMIT_FILENAME}' is empty: the image was built without GIT_COMMIT. "
                "Name the version with --version."
            )
        return Revision(told.removesuffix(DIRTY_SUFFIX), is_dirty=told.endswith(DIRTY_SUFFIX))
    commit = _git(folder, "rev-parse", "--verify", "HEAD").strip()
    return Revision(commit, is_dirty=bool(_git(folder, "status", "--porcelain").strip()))


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise ConfigError(
            f"the commit of '{folder}' cannot be found: {said.strip().splitlines()[0]} Work in a "
            "clone with a commit, or name the version with --version."
        ) from error
    return done.stdout
