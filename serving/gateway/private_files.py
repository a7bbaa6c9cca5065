"""Files of the state folder that only their owner may read."""

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path


@contextlib.contextmanager
def temporary_file(file: Path, text: str) -> Generator[Path]:
    """Write a file beside another, to be renamed or linked to it: whole or not at all.

    Args:
        file: what it will become; its folder is made where it is missing.
        text: its content, ASCII.

    Yields:
        The file, mode 600 and on the disk; removed afterwards where it is still there.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)
