"""The thread that watches the disk and moves versions through their lives."""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from serving.model_server.config import ModelConfig, ModelConfigs
from serving.model_server.errors import Code, ServingError, to_serving_error
from serving.model_server.flags import ServerFlags
from serving.model_server.lifecycle import (
    ActionKind,
    State,
    VersionRecord,
    VersionStatus,
    choose_action,
)
from serving.model_server.registry import Registry
from serving.model_server.servable import Servable
from serving.model_server.versions import choose_versions, fingerprint, list_versions

logger = logging.getLogger("loupe.model_server")

TICK_SECONDS: Final = 0.1
_MICROSECONDS: Final = 1e-6

LoadFunction = Callable[[str, int, Path], Servable]
"""Model name, version, folder -> the loaded version."""


@dataclasses.dataclass
class _Model:
    config: ModelConfig
    records: dict[int, VersionRecord] = dataclasses.field(default_factory=dict)
    path_problem: str = ""


class Manager:
    """Loads, replaces and unloads versions, and remembers the state of each.

    One thread makes all decisions, every 100 ms; loads run in a pool beside it, so a slow load
    holds up neither other models nor unloading.
    """

    def __init__(self, flags: ServerFlags, registry: Registry, load: LoadFunction) -> None:
        self._flags = flags
        self._registry = registry
        self._load_function = load
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._is_stopping = False
        self._models: dict[str, _Model] = {}
        self._configured: set[str] = set()
        self._poll_at: float | None = None
        self._loaders = ThreadPoolExecutor(max(1, flags.num_load_threads), "model-load")

    def run(self) -> None:
        """Watch and load until `stop`; blocks, so give it a thread."""
        while not self._is_stopping:
            self._wake.clear()
            self._poll_if_due()
            with self._changed:
                self._tick()
                self._changed.notify_all()
            self._wake.wait(TICK_SECONDS)

    def stop(self) -> None:
        """End `run`; loads that have begun are left to end by themselves."""
        with self._lock:
            self._is_stopping = True
            self._changed.notify_all()
        self._wake.set()
        self._loaders.shutdown(wait=False, cancel_futures=True)

    def set_models(self, configs: ModelConfigs) -> None:
        """Replace the list of models; versions of models no longer listed are unloaded.

        Args:
            configs: the models by name.
        """
        with self._lock:
            for name, config in configs.items():
                self._models.setdefault(name, _Model(config)).config = config
            for name, model in self._models.items():
                if name not in configs:
                    _aspire(model, {})
            self._configured = set(configs)
            if self._flags.file_system_poll_wait_seconds >= 0:
                self._poll_at = time.monotonic()
        self._wake.set()

    def statuses(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Tell the state of a model's versions, also of those that are gone or failed.

        Args:
            name: the model.
            version: one version; None for all.

        Returns:
            The states, newest version first.

        Raises:
            ServingError: NOT_FOUND; nothing is known of the model or version.
        """
        with self._lock:
            model = self._models.get(name)
            records = model.records if model else {}
            if version is not None and version not in records:
                raise ServingError(
                    Code.NOT_FOUND, f"Could not find version {version} of model {name}"
                )
            if not records:
                raise ServingError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
            chosen = sorted(records, reverse=True) if version is None else [version]
            return [records[number].status() for number in chosen]

    def wait_until_settled(self, names: set[str]) -> None:
        """Wait until each model answers, or until one never will.

        Args:
            names: the models to wait for; a model whose folder is missing or empty is waited for.

        Raises:
            ServingError: UNKNOWN; all versions of a model failed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_stopping or all(self._is_settled(name) for name in names)
            )
            failed = [
                (name, record)
                for name in sorted(names)
                for record in self._models[name].records.values()
                if name in self._configured and not self._is_available(name) and record.error
            ]
        if failed and not self._is_stopping:
            text = "".join(
                f"{{{{name: {name} version: {record.version}}} due to error: "
                f"{record.error.describe() if record.error else ''}}}, "
                for name, record in failed
            )
            raise ServingError(
                Code.UNKNOWN, f"{len(failed)} servable(s) did not become available: {{{text}}}"
            )

    def _is_available(self, name: str) -> bool:
        return any(r.state is State.AVAILABLE for r in self._models[name].records.values())

    def _is_settled(self, name: str) -> bool:
        model = self._models[name]
        if name not in self._configured:  # a later config dropped it
            return True
        # A label may name any version, so it has to be known which of them load.
        if self._is_available(name) and not model.config.labels:
            return True
        aspired = [record for record in model.records.values() if record.is_aspired]
        done = (State.AVAILABLE, State.END)
        return bool(aspired) and all(record.state in done for record in aspired)

    def _poll_if_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            if self._poll_at is None or now < self._poll_at:
                return
            wait = self._flags.file_system_poll_wait_seconds
            self._poll_at = now + wait if wait > 0 else None
            models = [self._models[name] for name in self._configured]
        for model in models:
            # The disk may be slow: look at it without the lock that status requests need.
            self._poll_model(model)

    def _poll_model(self, model: _Model) -> None:
        config = model.config
        try:
            present = list_versions(config.base_path)
        except OSError as error:
            # Nothing happens when the folder is gone: what is loaded goes on answering.
            if model.path_problem != str(error):
                logger.warning("model %s waits for its versions: %s", config.name, error)
                model.path_problem = str(error)
            return
        if not present and not model.path_problem:
            logger.warning("model %s: no versions in %s", config.name, config.base_path)
        model.path_problem = "" if present else "no versions"
        repaired = self._find_repaired(model)
        with self._lock:
            if model.config is config and config.name in self._configured:
                _aspire(model, choose_versions(config.policy, present))
                for record in repaired:
                    record.restart(record.path)

    def _find_repaired(self, model: _Model) -> list[VersionRecord]:
        with self._lock:
            failed = [r for r in model.records.values() if r.error and r.is_aspired and not r.load]
        return [r for r in failed if r.fingerprint != fingerprint(r.path)]

    def _tick(self) -> None:
        for name, model in self._models.items():
            for record in model.records.values():
                self._advance(name, record)
            aspired = {version for version, r in model.records.items() if r.is_aspired}
            states = {version: record.state for version, record in model.records.items()}
            action = choose_action(states, aspired)
            if action is None:
                continue
            record = model.records[action.version]
            if action.kind is ActionKind.LOAD:
                record.state = State.LOADING
                self._begin_load(name, record)
            else:
                self._begin_unload(record)

    def _advance(self, name: str, record: VersionRecord) -> None:
        if record.load is not None and record.load.done():
            load, record.load = record.load, None
            self._finish_load(name, record, load)
        elif record.state is State.LOADING and record.load is None:
            if not record.is_aspired:
                record.state, record.retry_at = State.END, None
            elif record.retry_at is not None and time.monotonic() >= record.retry_at:
                self._begin_load(name, record)
        elif record.state is State.UNLOADING and record.servable and record.servable.is_idle():
            record.servable.close()
            record.servable, record.state = None, State.END
            logger.info("unloaded {name: %s version: %d}", name, record.version)

    def _load(self, name: str, version: int, path: Path) -> Servable:
        started = time.monotonic()
        servable = self._load_function(name, version, path)
        seconds = time.monotonic() - started
        logger.info("loaded {name: %s version: %d} in %.2f s", name, version, seconds)
        return servable

    def _begin_load(self, name: str, record: VersionRecord) -> None:
        record.attempts += 1
        record.retry_at = None
        record.fingerprint = fingerprint(record.path)
        record.load = self._loaders.submit(self._load, name, record.version, record.path)
        record.load.add_done_callback(lambda _: self._wake.set())

    def _finish_load(self, name: str, record: VersionRecord, load: Future[Servable]) -> None:
        # Whatever a broken model raises is its status, never the end of this thread.
        error = load.exception()
        if error is None:
            record.servable, record.state, record.error = load.result(), State.AVAILABLE, None
            self._registry.publish(record.servable)
            return
        record.error = to_serving_error(error)
        max_attempts = 1 + max(0, self._flags.max_num_load_retries)
        logger.error(
            "loading {name: %s version: %d} failed, attempt %d of %d: %s",
            *(name, record.version, record.attempts, max_attempts, record.error.describe()),
        )
        if record.attempts >= max_attempts:
            record.state = State.END
        else:
            pause = max(0.0, self._flags.load_retry_interval_micros * _MICROSECONDS)
            record.retry_at = time.monotonic() + pause

    def _begin_unload(self, record: VersionRecord) -> None:
        if record.servable is not None:
            self._registry.withdraw(record.servable)
            record.state = State.UNLOADING


def _aspire(model: _Model, wanted: dict[int, Path]) -> None:
    for version, path in wanted.items():
        record = model.records.get(version)
        if record is None:
            model.records[version] = VersionRecord(version, path)
        elif record.state is State.END and not record.is_aspired:
            record.restart(path)
        else:
            record.is_aspired, record.path = True, path
    for version, record in model.records.items():
        if version not in wanted:
            record.is_aspired = False
            if record.state is State.START:
                record.state = State.END
