"""What is on disk, and which of it should be served: version folders and version policies."""

import dataclasses
import enum
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

logger = logging.getLogger("loupe.model_server")

_INT64_LIMIT = 2**63


class VersionPolicyKind(enum.Enum):
    """How a policy chooses."""

    LATEST = "latest"
    ALL = "all"
    SPECIFIC = "specific"


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """Which versions of a model to serve.

    Attributes:
        kind: the way of choosing.
        num_versions: how many of the highest, for LATEST.
        versions: exactly these, for SPECIFIC.
    """

    kind: VersionPolicyKind = VersionPolicyKind.LATEST
    num_versions: int = 1
    versions: frozenset[int] = frozenset()


Fingerprint = tuple[tuple[str, int, int], ...]
"""Relative path, size and modification time (nanoseconds) of every file of a version."""


def list_versions(base_path: Path) -> dict[int, Path]:
    """Find the version folders of a model.

    Args:
        base_path: the model's folder.

    Returns:
        Version to folder. A version is a folder whose whole name is a decimal 64-bit integer;
        of two names with one value (`7`, `007`) the last in sort order is taken.

    Raises:
        OSError: the folder is missing or cannot be read.
    """
    versions: dict[int, Path] = {}
    with os.scandir(base_path) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    for name in names:
        if not re.fullmatch(r"[0-9]+", name) or int(name) >= _INT64_LIMIT:
            continue
        if int(name) in versions:
            logger.warning("%s: %s and %s are one version", base_path, versions[int(name)], name)
        versions[int(name)] = base_path / name
    return versions


def choose_versions(policy: VersionPolicy, present: Mapping[int, Path]) -> dict[int, Path]:
    """Apply a policy.

    Args:
        policy: the policy.
        present: what `list_versions` found.

    Returns:
        The versions that should be served.
    """
    if policy.kind is VersionPolicyKind.ALL:
        chosen = set(present)
    elif policy.kind is VersionPolicyKind.SPECIFIC:
        chosen = set(policy.versions) & set(present)
    else:
        chosen = set(sorted(present)[-policy.num_versions :])
    return {version: present[version] for version in sorted(chosen)}


def fingerprint(folder: Path) -> Fingerprint:
    """Describe the files of a version, to notice that somebody repaired it.

    Args:
        folder: the version's folder.

    Returns:
        One row per file, sorted; files that vanish meanwhile are left out.
    """
    rows: list[tuple[str, int, int]] = []
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)  # noqa: PTH118 - thousands of files, once a second
            try:
                status = os.stat(path)  # noqa: PTH116
            except OSError:
                continue
            # The time of change, not of modification: rights may have been what was wrong.
            rows.append((os.path.relpath(path, folder), status.st_size, status.st_ctime_ns))
    return tuple(sorted(rows))
