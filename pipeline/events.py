"""What happens during a run, one JSON line per event, for whoever watches."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

TFX_STARTED = ("Component %s is running.", "node %s is running.")
TFX_FINISHED = ("Component %s is finished.", "node %s is finished.")
TFX_CACHED = "A cached execution %d is used."
"""Messages of TFX's runners and launcher; their first argument names the node."""

STARTED = "started"
FINISHED = "finished"
PROGRESS = "progress"
WARNING = "warning"
DONE = "done"


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: started, finished, progress, warning or done.
        stage: node of the DAG, or `Data` before the first.
        seconds: seconds since 1970.
        text: what to tell a person.
        is_cached: for finished: the stage's result was there already.
        progress: for progress: `done`, `total` and `unit`.
    """

    kind: str
    stage: str
    seconds: float
    text: str = ""
    is_cached: bool = False
    progress: dict[str, Any] = field(default_factory=dict[str, Any])


class EventRecorder(logging.Handler):
    """Turns log records of TFX and of Loupe's stages into events.

    Args:
        path: JSON-lines file to append to.

    Attributes:
        stage: the stage that runs now.
        stages_seen: stages that started, in order.
        on_first_stage: called when the first stage starts, which under the `tfx` CLI's compile
            never happens.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._file = path.open("a", encoding="utf-8")
        self._is_cached = False
        self.stage = "Data"
        self.stages_seen: list[str] = []
        self.on_first_stage: Callable[[], None] = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        """Record what matters of a log record.

        Args:
            record: any log record.
        """
        if record.msg in TFX_STARTED:
            self.stage = str(_first_argument(record))
            self._is_cached = False
            if not self.stages_seen:
                self.on_first_stage()
            self.stages_seen.append(self.stage)
            self.write(STARTED)
        elif record.msg in TFX_FINISHED:
            self.write(FINISHED, is_cached=self._is_cached)
        elif record.msg == TFX_CACHED:
            self._is_cached = True
        elif record.name.startswith("loupe."):
            kind = WARNING if record.levelno >= logging.WARNING else PROGRESS
            progress: dict[str, Any] = getattr(record, "progress", {})
            self.write(kind, text=record.getMessage(), progress=progress)

    def write(self, kind: str, **fields: Any) -> None:
        """Append one event of the stage that runs now.

        Args:
            kind: what happened.
            **fields: further fields of Event.
        """
        event = Event(kind=kind, stage=self.stage, seconds=time.time(), **fields)
        self._file.write(json.dumps(asdict(event)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def read_events(path: Path, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Read events that were written so far.

    Args:
        path: the JSON-lines file; it may not exist yet.
        offset: byte position to start at.

    Yields:
        Each whole event and the position after it.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield Event(**json.loads(line)), offset


def _first_argument(record: logging.LogRecord) -> Any:
    arguments = record.args
    return arguments[0] if isinstance(arguments, tuple) else arguments
