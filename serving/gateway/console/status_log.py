"""How many answers of each class went out, over all worker processes of one machine."""

import asyncio
import collections
import contextlib
import datetime
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog

from serving.gateway.console.windows import Window

STATUS_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
PERIOD_SECONDS: Final = 5.0
_KEPT_SECONDS: Final = {15: 3600, 300: 24 * 3600}
"""Length of a bin to how long such bins are kept."""
_LOG: Final = structlog.get_logger(__name__)


class StatusLog:
    """Samples this process's counters and shares them in a folder, one small file a process.

    A file outlives its process, so that charts go on over a restart. Counters that live in one
    process only would make a chart jump with every worker that happens to answer.
    """

    def __init__(self, folder: Path, count: Callable[[], Mapping[str, float]]) -> None:
        """Begin to count from now on.

        Args:
            folder: shared by the workers of one machine; made where it is missing.
            count: answers so far, by status class (`2xx` to `5xx`); never falls.
        """
        self._folder = folder
        self._file = folder / f"{secrets.token_hex(8)}.json"
        self._count = count
        self._last = dict(count())
        self._bins: dict[int, dict[int, collections.Counter[str]]] = {
            length: {} for length in _KEPT_SECONDS
        }

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.sample, time.time())
            except OSError as error:
                _LOG.warning("status_log_failed", folder=str(self._folder), reason=str(error))
            await asyncio.sleep(PERIOD_SECONDS)

    def sample(self, now: float) -> None:
        """Take what has been counted since the last sample, and share it.

        Args:
            now: seconds since 1970.
        """
        counts = dict(self._count())
        for name in STATUS_CLASSES:
            risen = int(counts.get(name, 0) - self._last.get(name, 0))
            for length, bins in self._bins.items():
                if risen > 0:
                    start = int(now // length) * length
                    bins.setdefault(start, collections.Counter())[name] += risen
        self._last = counts
        for length, bins in self._bins.items():
            for start in [start for start in bins if start < now - _KEPT_SECONDS[length]]:
                del bins[start]
        self._write(now)

    def _write(self, now: float) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self._bins))
        temporary.replace(self._file)
        for file in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):  # another process may be faster
                is_old = file.stat().st_mtime < now - max(_KEPT_SECONDS.values())
                if is_old and file != self._file:
                    file.unlink()

    def read(self, window: Window) -> tuple[int, dict[str, list[int]]]:
        """Add up what all processes counted.

        Args:
            window: a window that ends now.

        Returns:
            When it begins, seconds since 1970, and one count a step for each status class.
        """
        start = window.start(datetime.datetime.now(datetime.UTC))
        seconds = window.step_seconds * window.num_steps
        length = min(
            length
            for length, kept in _KEPT_SECONDS.items()
            if window.step_seconds % length == 0 and seconds <= kept
        )
        steps = {name: [0] * window.num_steps for name in STATUS_CLASSES}
        for bins in self._read_files():
            for moment, counts in bins[str(length)].items():
                step = (int(moment) - start) // window.step_seconds
                if 0 <= step < window.num_steps:
                    for name, count in counts.items():
                        steps[name][step] += count
        return start, steps

    def _read_files(self) -> Iterator[dict[str, dict[str, dict[str, int]]]]:
        for file in self._folder.glob("*.json"):
            try:
                yield json.loads(file.read_text())
            except FileNotFoundError:  # old ones are removed at any time
                continue
            except (OSError, ValueError) as error:  # a power cut may leave an empty one
                _LOG.warning("status_log_unreadable", file=str(file), reason=str(error))
