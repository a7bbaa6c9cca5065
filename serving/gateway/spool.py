"""Records on disk until the database has them: each process appends to segments of its own.

```
spool/lock            held while folders of processes are made or taken over
spool/<process>/lock  held while the process lives: the kernel lets go of it, whatever ends it
spool/<process>/<nanoseconds>.records
spool/rejected/       what the database refuses, and what cannot be read
```
"""

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Final

import structlog

from serving.gateway.records import PredictionRecord
from serving.gateway.spool_segments import encode_record, read_segment

SEGMENT_BYTES: Final = 8 << 20
"""Where a segment ends while the database is down."""

_ENDING: Final = ".records"
_LOCK_NAME: Final = "lock"
_REJECTED: Final = "rejected"

_log = structlog.get_logger(__name__)


class Spool:
    """The records of one process on their way to the database.

    Appending is one write into the page cache: microseconds, and safe from whatever ends the
    process. `sync` makes it safe from the end of the machine too.

    Args:
        folder: common to all processes of the gateway.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock = -1
        self._active = -1
        self._active_path = Path()
        self._active_bytes = 0
        self._counts: dict[Path, int] = {}

    def open(self) -> None:
        """Make this process's folder, and take over what dead processes left.

        Raises:
            OSError: the folder cannot be written.
        """
        # Of missing parents, only the last gets the mode: one at a time.
        self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.mkdir(exist_ok=True, mode=0o700)
        with _locked(self._folder / _LOCK_NAME):
            self._own.mkdir(mode=0o700)
            self._lock = _open(self._own / _LOCK_NAME)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.adopt()

    def close(self) -> None:
        """End; what waits stays on disk for the next process."""
        self.sync()
        self.rotate()
        with _locked(self._folder / _LOCK_NAME):
            if not self._counts:
                (self._own / _LOCK_NAME).unlink()
                _remove_folder(self._own)
            os.close(self._lock)

    @property
    def num_records(self) -> int:
        """Count what waits.

        Returns:
            Records in all segments.
        """
        return sum(self._counts.values())

    def count(self, path: Path) -> int:
        """Count what a segment holds.

        Args:
            path: of `ended_segments` or `rotate`.

        Returns:
            Its records.
        """
        return self._counts[path]

    @property
    def is_full(self) -> bool:
        """Tell whether the active segment should end.

        Returns:
            Whether it holds SEGMENT_BYTES.
        """
        return self._active_bytes >= SEGMENT_BYTES

    def append(self, record: PredictionRecord) -> None:
        """Append a record to the active segment, whole or not at all.

        Args:
            record: what to keep.

        Raises:
            OSError: the disk is full or broken.
            TypeError: the record holds what JSON cannot.
        """
        frame = memoryview(encode_record(record))
        if self._active < 0:
            path = self._own / f"{time.time_ns():020d}{_ENDING}"
            self._active = _open(path)
            self._active_path, self._active_bytes = path, 0
        written = 0
        try:
            while written < len(frame):
                written += os.write(self._active, frame[written:])
        except OSError:
            os.ftruncate(self._active, self._active_bytes)
            raise
        self._active_bytes += written
        self._counts[self._active_path] = self._counts.get(self._active_path, 0) + 1

    def rotate(self) -> Path | None:
        """End the active segment; the next record begins another one.

        Returns:
            The segment, or None when nothing was appended.
        """
        if self._active < 0:
            return None
        os.close(self._active)
        self._active = -1
        if not self._active_bytes:  # its only record did not fit on the disk
            self._active_path.unlink()
            return None
        self._active_bytes = 0
        return self._active_path

    def sync(self) -> None:
        """Bring the active segment to the disk itself."""
        if self._active >= 0:
            os.fsync(self._active)
            folder = os.open(self._own, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def ended_segments(self) -> list[Path]:
        """List the segments that nothing is appended to any more.

        Returns:
            Their paths, oldest first.
        """
        active = self._active_path if self._active >= 0 else None
        return sorted(path for path in self._counts if path != active)

    def read(self, path: Path) -> list[PredictionRecord]:
        """Read an ended segment; damage is set aside, an append that a kill cut short is dropped.

        Args:
            path: of `ended_segments`.

        Returns:
            Its records, in order.

        Raises:
            OSError: the file cannot be read.
        """
        if not path.exists():
            _log.error("a spool segment has been removed by somebody else", path=str(path))
            return []
        segment = read_segment(path)
        if segment.unfinished:
            _log.warning(
                "a process was killed while it wrote a record; the beginning of it is dropped",
                unfinished_bytes=len(segment.unfinished),
                good_records=len(segment.records),
            )
        if segment.damaged:
            kept = self._reject(f"{self._own.name}-{path.stem}.damaged", segment.damaged)
            _log.error(
                "spool segment is damaged; the rest of it is kept aside",
                kept=str(kept),
                damaged_bytes=len(segment.damaged),
                good_records=len(segment.records),
            )
        return segment.records

    def remove(self, path: Path) -> None:
        """Forget a segment whose records are all in the database.

        Args:
            path: of `ended_segments`.
        """
        path.unlink(missing_ok=True)
        del self._counts[path]

    def set_aside(self, record: PredictionRecord, reason: str) -> None:
        """Keep a record that the database refuses where it stands in nobody's way.

        Args:
            record: what was refused.
            reason: the database's words.
        """
        kept = self._reject(f"{record.request_id}{_ENDING}", encode_record(record))
        _log.error(
            "the database refuses a record; it is kept aside",
            kept=str(kept),
            request_id=record.request_id,
            reason=reason,
        )

    def adopt(self) -> int:
        """Take over the segments of processes that are dead.

        Returns:
            How many records came in.

        Raises:
            OSError: the folder cannot be written.
        """
        num_records = 0
        with _locked(self._folder / _LOCK_NAME):
            for lock in sorted(self._folder.glob(f"*/{_LOCK_NAME}")):
                if lock.parent != self._own:
                    num_records += self._adopt_folder(lock)
        if num_records:
            _log.warning("took over records of a process that is gone", num_records=num_records)
        return num_records

    def _adopt_folder(self, lock: Path) -> int:
        descriptor = _open(lock)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            num_records = 0
            for path in sorted(lock.parent.glob(f"*{_ENDING}")):
                # Two processes may have begun a segment in the same nanosecond.
                target = self._own / f"{path.stem}-{len(self._counts)}{_ENDING}"
                path.rename(target)
                self._counts[target] = len(read_segment(target).records)
                num_records += self._counts[target]
            lock.unlink()
            _remove_folder(lock.parent)
            return num_records
        except BlockingIOError:  # it lives
            return 0
        finally:
            os.close(descriptor)

    def _reject(self, name: str, data: bytes) -> Path:
        folder = self._folder / _REJECTED
        folder.mkdir(exist_ok=True, mode=0o700)
        path = folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        return path


def remove_rejected(folder: Path, before: float) -> int:
    """Delete what was set aside and has been looked at, or never will be.

    Args:
        folder: of all processes of the gateway.
        before: files that were written before this moment go; seconds since 1970.

    Returns:
        How many went. A file that cannot be deleted raises OSError.
    """
    num_files = 0
    for path in (folder / _REJECTED).glob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process may be faster
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                num_files += 1
    return num_files


def _remove_folder(folder: Path) -> None:
    # What somebody else has put there (an editor, a network file system) is no reason to fail.
    with contextlib.suppress(OSError):
        folder.rmdir()


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
