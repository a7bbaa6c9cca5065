"""manifest.json: what a pushed version is made of, so that it can be checked and made again."""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.code_version import ROOT
from schema.features import MANIFEST_FILENAME

READ_BYTES = 1 << 20
COMMIT_FILENAME = "git-commit.txt"
"""What the build of an image writes beside the code, where there is no clone to ask."""


def sha256_of_files(folder: Path) -> dict[str, str]:
    """Hash every file below a folder.

    Args:
        folder: the folder.

    Returns:
        Hexadecimal SHA-256 by path relative to the folder, the manifest itself left out.
    """
    return {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_FILENAME
    }


def sha256_of_folder(folder: Path) -> str:
    """Hash a folder's files and names into one fingerprint.

    Args:
        folder: the folder.

    Returns:
        Hexadecimal SHA-256.
    """
    return hashlib.sha256(json.dumps(sha256_of_files(folder)).encode()).hexdigest()


def git_commit(root: Path = ROOT) -> str:
    """Name the commit that this code is.

    Args:
        root: folder of the code.

    Returns:
        The commit's hash, ending in `-dirty` when files differ from it; in an image what its build
        was told; empty when nobody knows.
    """
    told = root / COMMIT_FILENAME
    if told.is_file():
        return told.read_text(encoding="utf-8").strip()
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write a version's manifest.

    Args:
        folder: the version folder, complete but for its manifest.
        facts: where the version comes from, as JSON values.
    """
    manifest = {**facts, "files": sha256_of_files(folder)}
    text = json.dumps(manifest, indent=1, sort_keys=True)
    (folder / MANIFEST_FILENAME).write_text(text + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
