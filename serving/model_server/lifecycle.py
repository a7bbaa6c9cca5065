"""The life of one version, and the rule that says what happens next to a model's versions."""

import dataclasses
import enum
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from pathlib import Path

from serving.model_server.errors import ServingError
from serving.model_server.servable import Servable
from serving.model_server.versions import Fingerprint


class State(enum.IntEnum):
    """States of a version; the values are those of ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What a status request is told about one version.

    Attributes:
        version: the version.
        state: its state.
        error: why it could not be loaded; None when nothing is wrong.
    """

    version: int
    state: State
    error: ServingError | None


@dataclasses.dataclass
class VersionRecord:
    """Everything the manager knows about one version; touched under the manager's lock only.

    Attributes:
        version: the version.
        path: its folder.
        state: where it is in its life.
        is_aspired: whether the policy wants it served.
        error: the last load's error.
        attempts: loads tried so far.
        retry_at: monotonic time of the next attempt, seconds; None when none is due.
        load: the attempt that is running.
        servable: the loaded version, from AVAILABLE until END.
        fingerprint: the files as the last attempt saw them.
    """

    version: int
    path: Path
    state: State = State.START
    is_aspired: bool = True
    error: ServingError | None = None
    attempts: int = 0
    retry_at: float | None = None
    load: Future[Servable] | None = None
    servable: Servable | None = None
    fingerprint: Fingerprint = ()

    def status(self) -> VersionStatus:
        """Describe the version for clients.

        Returns:
            Version, state and error.
        """
        return VersionStatus(self.version, self.state, self.error)

    def restart(self, path: Path) -> None:
        """Begin a new life, after the folder came back or its files changed.

        Args:
            path: the version's folder.
        """
        self.path = path
        self.state = State.START
        self.is_aspired = True
        self.error = None
        self.attempts = 0
        self.retry_at = None
        self.fingerprint = ()


class ActionKind(enum.Enum):
    """What can be done to a version."""

    LOAD = "load"
    UNLOAD = "unload"


@dataclasses.dataclass(frozen=True)
class Action:
    """One step of the manager.

    Attributes:
        kind: load or unload.
        version: the version it is done to.
    """

    kind: ActionKind
    version: int


def choose_action(states: Mapping[int, State], aspired: Collection[int]) -> Action | None:
    """Decide the next step for one model, so that an answer is always available.

    A version is unloaded only when another one answers (or none is wanted), so the new one is
    loaded before the old one goes.

    Args:
        states: state of every version.
        aspired: versions that should be served.

    Returns:
        The step, or None when there is nothing to do.

    Source: `AvailabilityPreservingPolicy`, tensorflow_serving/core.
    """
    ready = {version for version, state in states.items() if state is State.AVAILABLE}
    unwanted = sorted(ready.difference(aspired))
    is_replaced = not aspired or not ready.isdisjoint(aspired) or len(unwanted) > 1
    if unwanted and is_replaced:
        return Action(ActionKind.UNLOAD, unwanted[0])
    waiting = [version for version in aspired if states.get(version) is State.START]
    return Action(ActionKind.LOAD, max(waiting)) if waiting else None
