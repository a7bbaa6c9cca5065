"""The console's own style sheets and scripts, read once and served from memory."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "static"
_CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Asset:
    """One static file.

    Attributes:
        content: its bytes.
        content_type: as sent to browsers.
    """

    content: bytes
    content_type: str


@dataclasses.dataclass(frozen=True, slots=True)
class Assets:
    """All static files.

    Attributes:
        files: by name; a name that is not in here does not exist, whatever is on disk.
        fingerprint: of all contents; part of every address, so that browsers may keep files for
            ever and still never mix two releases.
    """

    files: Mapping[str, Asset]
    fingerprint: str


def read_assets() -> Assets:
    """Read the static files of the package.

    Returns:
        The files and their common fingerprint.
    """
    files = {
        path.name: Asset(path.read_bytes(), _CONTENT_TYPES[path.suffix])
        for path in sorted(_FOLDER.iterdir())
        if path.suffix in _CONTENT_TYPES
    }
    digest = hashlib.sha256()
    for name, asset in files.items():
        digest.update(f"{name} {len(asset.content)}\n".encode() + asset.content)
    return Assets(files=files, fingerprint=digest.hexdigest()[:16])
