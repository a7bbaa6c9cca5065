"""One folder per run, and the lock that keeps two runs out of one workspace."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from datetime import datetime
from pathlib import Path

from configs.errors import ConfigError
from configs.workspace import Workspace

EVENTS_FILENAME = "events.jsonl"
LOG_FILENAME = "run.log"


def make_run_folder(workspace: Workspace) -> Path:
    """Make the folder of a new run.

    Args:
        workspace: where runs are kept.

    Returns:
        The new folder.
    """
    name = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = workspace.runs / name
    attempt = 1
    while True:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
        attempt += 1
        folder = workspace.runs / f"{name}-{attempt}"
    return folder


def point_latest(workspace: Workspace, folder: Path) -> None:
    """Point `latest` at a run; called with the lock held.

    Args:
        workspace: where runs are kept.
        folder: the run's folder, directly below `runs`.
    """
    link = workspace.runs / f".latest-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(folder.name, target_is_directory=True)
    link.rename(workspace.latest_run)


@contextlib.contextmanager
def lock_workspace(workspace: Workspace) -> Generator[None]:
    """Hold the workspace, so that no second run writes into it.

    Args:
        workspace: the workspace.

    Yields:
        Nothing; the lock is held until the block ends, or the process does.

    Raises:
        ConfigError: another process holds it.
    """
    workspace.root.mkdir(parents=True, exist_ok=True)
    with workspace.lock_file.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ConfigError(
                f"workspace '{workspace.root}' is in use by process {holder}. Wait until it ends, "
                "or give this run a workspace of its own."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
