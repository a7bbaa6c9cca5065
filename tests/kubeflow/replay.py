"""Replays the contract of Kubeflow's driver and launcher on one machine, strictly.

A compiled file is walked task by task. Each is a fresh process with a fresh local root; what it
gets comes out of a folder that acts as the object store, and what it leaves goes there, as files
only. There is no other channel between tasks but the volumes that the platform document mounts.

    python tests/kubeflow/replay.py compiled.yaml folder --parameter data_version=1 \
        --volume loupe-data=/my/photos --volume loupe-models=/my/models

Source: kubeflow/pipelines 2.5.0 to 2.17.0, backend/src.
"""

import argparse
import json
import shutil
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replay_checks import UploadedPipeline, check_parameters, upload
from replay_driver import (
    KUBEFLOW_2_5,
    KUBEFLOW_2_17,
    Driver,
    KubeflowVersion,
    secret_variables,
    volume_claims,
)
from replay_launcher import Launcher, TaskFailedError, mounted
from replay_store import Bucket, Execution, LauncherError, Metadata

CACHED = "CACHED"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
VERSIONS = {"2.5": KUBEFLOW_2_5, "2.17": KUBEFLOW_2_17}


@dataclass(frozen=True)
class Task:
    """What became of a task."""

    name: str
    state: str
    seconds: float
    log: str = ""
    exit_code: int = 0
    execution: Execution = field(default_factory=Execution)


@dataclass(frozen=True)
class Run:
    """What became of a run; tasks after one that failed are not there."""

    tasks: dict[str, Task]
    folder: Path

    @property
    def state(self) -> str:
        return FAILED if any(t.state == FAILED for t in self.tasks.values()) else SUCCEEDED

    @property
    def cached(self) -> set[str]:
        return {name for name, task in self.tasks.items() if task.state == CACHED}


class Replay:
    """A cluster whose object store, metadata, cache and volumes outlive its runs.

    Args:
        folder: everything is written below it.
        volumes: folder of each claim.
        secrets: values of each secret by key.
        publishes_logs: the driver's PUBLISH_LOGS, on by default since 2.5.
    """

    def __init__(
        self,
        folder: Path,
        *,
        volumes: dict[str, Path] | None = None,
        secrets: dict[str, dict[str, str]] | None = None,
        publishes_logs: bool = True,
    ) -> None:
        self.folder = folder
        self.bucket = Bucket(folder / "bucket")
        self.metadata = Metadata()
        self._volumes = volumes or {}
        self._secrets = secrets or {}
        self._publishes_logs = publishes_logs

    def run(
        self,
        compiled: Path,
        parameters: dict[str, Any],
        *,
        pipeline_root: str = "minio://mlpipeline/v2/artifacts",
        version: KubeflowVersion = KUBEFLOW_2_17,
    ) -> Run:
        """Upload a compiled file and run it to its end or to the first task that fails."""
        pipeline = upload(compiled)
        run_id = str(uuid.uuid4())
        driver = Driver(
            pipeline=pipeline,
            version=version,
            parameters=check_parameters(pipeline, parameters),
            run_root=f"{pipeline_root}/{pipeline.spec.pipeline_info.name}/{run_id}",
            publishes_logs=self._publishes_logs,
        )
        run = Run({}, self.folder / "runs" / run_id)
        run.folder.mkdir(parents=True)
        for name in pipeline.in_order():
            done = {task.name: task.execution for task in run.tasks.values()}
            run.tasks[name] = self._run_task(driver, name, done, run.folder)
            if run.tasks[name].state == FAILED:
                break
        return run

    def _run_task(
        self, driver: Driver, name: str, done: dict[str, Execution], folder: Path
    ) -> Task:
        started = time.monotonic()
        local_root = folder / f"{name}-pod"
        local_root.mkdir()
        log_file = folder / f"{name}.log"
        log_file.touch()
        try:
            message = driver.executor_input(name, done, local_root)
            fingerprint = driver.fingerprint(name, message)
            if cached := self.metadata.cache.get(fingerprint):
                missing = set(message.outputs.artifacts) - set(cached.artifacts)
                if missing:
                    raise LauncherError(f"unable to find artifact with name {sorted(missing)}")
                return Task(name, CACHED, time.monotonic() - started, execution=cached)
            launcher = Launcher(self.bucket, self.metadata, driver.version, local_root)
            variables = secret_variables(driver.pipeline, name, self._secrets)
            with mounted(self._mounts(driver.pipeline, name)):
                container = driver.pipeline.container(name)
                execution = launcher.launch(message, container, variables, log_file)
            if fingerprint:
                self.metadata.cache[fingerprint] = execution
            state, error, exit_code = SUCCEEDED, "", 0
        except (TaskFailedError, LauncherError) as caught:
            execution = Execution()
            exit_code = getattr(caught, "exit_code", 1)
            state, error = FAILED, f"{caught}\n"
        finally:
            shutil.rmtree(local_root)
        log = log_file.read_text(errors="replace") + error
        return Task(name, state, time.monotonic() - started, log, exit_code, execution)

    def _mounts(self, pipeline: UploadedPipeline, name: str) -> list[tuple[Path, str]]:
        claims = volume_claims(pipeline, name)
        absent = {claim for claim, _ in claims} - set(self._volumes)
        if absent:
            raise LauncherError(f"{name}: persistentvolumeclaim {sorted(absent)} not found")
        return [(self._volumes[claim], path) for claim, path in claims]


def main() -> int:
    """Replay one run and print its tasks as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("compiled", type=Path)
    parser.add_argument("folder", type=Path, help="everything is written below it")
    parser.add_argument("--parameter", action="append", default=[], help="name=value; repeatable")
    parser.add_argument("--volume", action="append", default=[], help="claim=folder; repeatable")
    parser.add_argument("--version", choices=VERSIONS, default="2.17", help="of Kubeflow Pipelines")
    arguments = parser.parse_args()
    volumes = {k: Path(v).resolve() for k, _, v in (v.partition("=") for v in arguments.volume)}
    parameters = {k: v for k, _, v in (p.partition("=") for p in arguments.parameter)}
    replay = Replay(arguments.folder.resolve(), volumes=volumes)
    run = replay.run(arguments.compiled, parameters, version=VERSIONS[arguments.version])
    tasks = [
        {"name": t.name, "state": t.state, "seconds": round(t.seconds, 2), "log": t.log}
        for t in run.tasks.values()
    ]
    print(json.dumps({"state": run.state, "tasks": tasks}))
    return 0 if run.state == SUCCEEDED else 1


if __name__ == "__main__":
    sys.exit(main())
