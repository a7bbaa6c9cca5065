"""Runs on the server: started, listed, found and deleted."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kfp_server_api import V2beta1Run

from configs.errors import ConfigError, StageError
from pipeline.kubeflow.client import (
    PAGE_SIZE,
    SORT_NEWEST_FIRST,
    KubeflowClient,
    equals,
    without_prints,
)
from pipeline.kubeflow.parameters import DATA_VERSION
from pipeline.kubeflow.rest import NOT_FOUND, RefusedError
from pipeline.kubeflow.run_parameters import RUN_ID
from pipeline.kubeflow.versions import Version, all_pages, list_versions

_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SUCCEEDED = "SUCCEEDED"
FINAL_STATES = (SUCCEEDED, "FAILED", "CANCELED", "SKIPPED")
MAX_FAILURES = 3
"""What ended badly so often, with Kubeflow's own retries each time, would end so again."""
NO_TIME = datetime(1971, 1, 1, tzinfo=UTC)
"""The server writes 1970 for a time that has not come."""


@dataclass(frozen=True)
class RunRow:
    """What the table of runs shows of one.

    Attributes:
        run_id: its id.
        name: its name.
        state: `PENDING`, `RUNNING`, `SUCCEEDED`, `FAILED` or another word of the server.
        started: when it was created.
        duration: until it ended, or until now; None when unknown.
        version: name of the pipeline version.
        data_version: what it was told about its data.
        link: URL of its page.
    """

    run_id: str
    name: str
    state: str
    started: datetime | None
    duration: timedelta | None
    version: str
    data_version: str
    link: str


def start_run(
    client: KubeflowClient,
    version: Version,
    name: str,
    values: Mapping[str, Any],
    *,
    experiment: str,
    pipeline_root: str = "",
    service_account: str = "",
) -> V2beta1Run:
    """Start a run of a version.

    Args:
        client: the client.
        version: the version.
        name: name of the run.
        values: its parameters.
        experiment: what it is filed under; made when there is none.
        pipeline_root: folder of artifacts; empty means the cluster's own.
        service_account: Kubernetes account of its pods; empty means the cluster's own.

    Returns:
        The run.
    """
    experiment_id = client.find_or_make_experiment(experiment)
    with without_prints():
        return client.run_pipeline(
            experiment_id,
            name,
            params=dict(values),
            pipeline_id=version.pipeline_id,
            version_id=version.version_id,
            pipeline_root=pipeline_root or None,
            service_account=service_account or None,
        )


def find_same_run(
    client: KubeflowClient, version: Version, values: Mapping[str, Any]
) -> V2beta1Run | None:
    """Find a run that did, or does, what a new one would do.

    Args:
        client: the client.
        version: version of the pipeline.
        values: parameters of the new run.

    Returns:
        The newest run of that version with those parameters that has not failed; None without.

    Raises:
        StageError: so many of them failed that another one makes no sense. Whoever asks each
            quarter of an hour would start one each time.
    """
    failures: list[Any] = []
    for run in _newest_runs(client, version.pipeline_id):
        reference, runtime = run.pipeline_version_reference, run.runtime_config
        given = (runtime.parameters if runtime else None) or {}
        if reference.pipeline_version_id != version.version_id or given != dict(values):
            continue
        if str(run.state) not in {"FAILED", "CANCELED"}:
            return run
        failures.append(run)
        if len(failures) == MAX_FAILURES:
            raise StageError(
                f"{MAX_FAILURES} runs of {version.name} with these parameters failed or were "
                f"cancelled, the last one is '{failures[0].display_name}', so none is started. "
                "Upload a version that works, give another --data-version, or start it without "
                f"--if-new. It is at {client.access.run_link(str(failures[0].run_id))}"
            )
    return None


def list_runs(client: KubeflowClient, pipeline: str, *, limit: int) -> list[RunRow]:
    """List the newest runs of the pipeline.

    Args:
        client: the client.
        pipeline: name of the pipeline.
        limit: most runs.

    Returns:
        Runs, newest first.
    """
    pipeline_id = client.get_pipeline_id(pipeline)
    if not pipeline_id:
        return []
    names = {
        str(version.pipeline_version_id): str(version.display_name)
        for version in list_versions(client, pipeline_id)
    }
    rows: list[RunRow] = []
    for run in itertools.islice(_newest_runs(client, pipeline_id), limit):
        version = str(run.pipeline_version_reference.pipeline_version_id)
        rows.append(_to_row(client, run, names.get(version, version)))
    return rows


def find_run(client: KubeflowClient, name_or_id: str) -> V2beta1Run:
    """Find a run.

    Args:
        client: the client.
        name_or_id: its id, or its name.

    Returns:
        The run, with its tasks.

    Raises:
        ConfigError: there is none, or several have that name.
        RefusedError: the server does not give it out.
    """
    if _RUN_ID.fullmatch(name_or_id):
        try:
            return client.get_run(name_or_id)
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
            raise ConfigError(
                f"there is no run '{name_or_id}' at {client.access.endpoint}. See them: "
                "loupe kubeflow runs"
            ) from error
    found = client.list_runs(
        page_size=PAGE_SIZE, filter=equals("display_name", name_or_id), sort_by=SORT_NEWEST_FIRST
    ).runs
    if not found:
        raise ConfigError(
            f"there is no run called '{name_or_id}' at {client.access.endpoint}. See them: "
            "loupe kubeflow runs"
        )
    if len(found) > 1:
        ids = ", ".join(str(run.run_id) for run in found[:5])
        raise ConfigError(
            f"{len(found)} runs are called '{name_or_id}', expected one. Give an id: {ids}."
        )
    return client.get_run(found[0].run_id)


def time_of(value: datetime | None) -> datetime | None:
    """Read a time of the server.

    Args:
        value: as the server gave it.

    Returns:
        The time in UTC; None for none.
    """
    if value is None:
        return None
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    return value if value > NO_TIME else None


def duration_of(run: V2beta1Run, now: datetime) -> timedelta | None:
    """Say how long a run has taken.

    Args:
        run: the run.
        now: the time.

    Returns:
        Until it ended, or until now; None when the server does not say when it began.
    """
    started, finished = time_of(run.created_at), time_of(run.finished_at)
    if started is None:
        return None
    return max((finished or now) - started, timedelta())


def _newest_runs(client: KubeflowClient, pipeline_id: str) -> Iterator[Any]:
    for run in all_pages(
        lambda token: client.list_runs(
            page_token=token, page_size=PAGE_SIZE, sort_by=SORT_NEWEST_FIRST
        ),
        "runs",
    ):
        reference = run.pipeline_version_reference
        if reference and reference.pipeline_id == pipeline_id:
            yield run


def _to_row(client: KubeflowClient, run: V2beta1Run, version: str) -> RunRow:
    runtime = run.runtime_config
    parameters: Mapping[str, Any] = (runtime.parameters if runtime else None) or {}
    # The server shows the parameters of the schedule; the tasks got the id.
    data_version = str(parameters.get(DATA_VERSION, "")).replace(RUN_ID, str(run.run_id))
    return RunRow(
        run_id=str(run.run_id),
        name=str(run.display_name),
        state=str(run.state or "PENDING"),
        started=time_of(run.created_at),
        duration=duration_of(run, datetime.now(UTC)),
        version=version,
        data_version=data_version,
        link=client.access.run_link(str(run.run_id)),
    )
