"""A fingerprint of Loupe's own code, so that a cached result of older code is not reused.

TFX hashes `module_file` for that; code reached by dotted name it does not see.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def code_version(packages: Iterable[str]) -> str:
    """Hash the sources of some packages.

    Args:
        packages: folders or files below the repository root, such as `trainer`.

    Returns:
        16 hexadecimal digits that change when any of the sources does.
    """
    digest = hashlib.sha256()
    for package in packages:
        for path in _python_files(ROOT / package):
            digest.update(path.relative_to(ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _python_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))
