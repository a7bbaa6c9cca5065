"""Watching a run until it ends: which stage is where, and what stopped it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run

from configs.errors import StageError, UpstreamError, UpstreamTimeoutError
from pipeline.kubeflow.client import KubeflowClient
from pipeline.kubeflow.rest import FORBIDDEN, NOT_FOUND, UNAUTHORIZED, RefusedError
from pipeline.kubeflow.runs import FINAL_STATES, SUCCEEDED, duration_of, time_of

POLL_SECONDS = 10.0
STUCK = timedelta(minutes=5)
OUTAGE = timedelta(minutes=5)
"""How long the server may be away before watching ends; the run itself does not mind."""

_WAITING, _RUNNING, _DONE, _FAILED = "PENDING", "RUNNING", SUCCEEDED, "FAILED"
_FAILURES = ("FAILED", "ERROR", "SYSTEM_ERROR", "CANCELED")
_DRIVER = "-driver"
_FINAL_REFUSALS = (UNAUTHORIZED, FORBIDDEN, NOT_FOUND)


@dataclass(frozen=True)
class StageProgress:
    """Where one stage is.

    Attributes:
        name: name of the stage.
        state: `PENDING` (its pod waits), `RUNNING`, `SUCCEEDED`, `FAILED` or another word of the
            server.
        seconds: how long it has taken.
        error: what the server says about its failure, mostly nothing.
    """

    name: str
    state: str
    seconds: float
    error: str = ""


def stage_names(spec: Mapping[str, Any]) -> list[str]:
    """List the stages of a compiled pipeline.

    Args:
        spec: the compiled pipeline, alone or beside its platform document.

    Returns:
        Names of its tasks; empty when the spec is not at hand.
    """
    root = spec.get("pipeline_spec", spec).get("root", {})
    return sorted(root.get("dag", {}).get("tasks", {}))


def read_stages(run: V2beta1Run, names: Sequence[str]) -> list[StageProgress]:
    """Say where the stages of a run are.

    Kubeflow reports one task per node of the Argo workflow: for each stage a driver, a group that
    counts as running as soon as it is looked at, and the pods below it.

    Args:
        run: the run, with its tasks.
        names: stages of the pipeline; empty means that every task that is none of Kubeflow's own
            counts as one.

    Returns:
        Stages that have begun, in the order of their beginning.
    """
    tasks = list((run.run_details and run.run_details.task_details) or ())
    by_pod = {str(task.pod_name): task for task in tasks if task.pod_name}
    found: dict[str, StageProgress] = {}
    for task in sorted(tasks, key=lambda each: time_of(each.start_time) or datetime.now(UTC)):
        name = str(task.display_name)
        is_driver = name.endswith(_DRIVER)
        stage = name.removesuffix(_DRIVER)
        if names and stage not in names:
            continue
        if not names and (is_driver or "." in name or name.startswith(("root", "executor"))):
            continue
        state = str(task.state or _WAITING)
        if is_driver and state not in _FAILURES:
            continue  # the stage's own task tells more
        if state == _RUNNING and _has_waiting_pod(task, by_pod):
            state = _WAITING
        known = found.get(stage)
        if known is None or (state in _FAILURES and known.state not in _FAILURES):
            error = task.error.message if task.error else ""
            found[stage] = StageProgress(stage, state, _seconds(task), error or "")
    return list(found.values())


def watch_run(
    client: KubeflowClient,
    run: V2beta1Run,
    names: Sequence[str],
    report: Callable[[V2beta1Run, list[StageProgress]], None],
    *,
    timeout_seconds: float = 0,
    poll_seconds: float = POLL_SECONDS,
) -> V2beta1Run:
    """Wait until a run ends.

    Args:
        client: the client.
        run: the run.
        names: stages of the pipeline.
        report: is told after each look.
        timeout_seconds: longest time to wait; 0 means no limit.
        poll_seconds: time between two looks.

    Returns:
        The run, which succeeded.

    Raises:
        StageError: it ended otherwise.
        UpstreamTimeoutError: it did not end in time; it goes on.
        UpstreamError: the server refused, or was away for too long; the run goes on.
    """
    link = client.access.run_link(str(run.run_id))
    for look in _looks(client, str(run.run_id), timeout_seconds, poll_seconds):
        stages = read_stages(look, names)
        report(look, stages)
        state = str(look.state or _WAITING)
        if state == SUCCEEDED:
            return look
        if state in FINAL_STATES:
            raise StageError(describe_failure(look, stages, link))
    raise UpstreamTimeoutError(
        f"run '{run.display_name}' has not ended within {timeout_seconds:.0f} s; it goes on. Wait "
        f"again: loupe kubeflow wait {run.run_id}. It is at {link}"
    )


def describe_failure(run: V2beta1Run, stages: Sequence[StageProgress], link: str) -> str:
    """Say in a sentence why a run ended.

    Args:
        run: the run.
        stages: its stages.
        link: URL of its page.

    Returns:
        The sentence.
    """
    name = f"run '{run.display_name}'"
    failed = [stage for stage in stages if stage.state in _FAILURES]
    said = next((stage.error for stage in failed if stage.error), "")
    said = said or (run.error.message if run.error and run.error.message else "")
    because = f": {' '.join(said.split())}" if said else ""
    if str(run.state) == "CANCELED":
        return f"{name} was cancelled{because}. It is at {link}"
    if failed:
        where = " and ".join(stage.name for stage in failed)
        return f"{name} failed at {where}{because}. Its log is at {link}"
    return f"{name} ended as {run.state} before any stage began{because}. It is at {link}"


def describe_stuck(
    run: V2beta1Run, stages: Sequence[StageProgress], namespace: str, now: datetime
) -> str:
    """Say what to look at when a stage's pod does not start.

    Kubeflow hands out no reason, be it an image that cannot be pulled, a quota that is used up or
    a node that is missing, and waits for ever.

    Args:
        run: the run.
        stages: its stages.
        namespace: namespace of the run.
        now: the time.

    Returns:
        The sentence; empty while nothing waits for long.
    """
    waiting = [each for each in stages if each.state == _WAITING]
    waiting = [each for each in waiting if each.seconds > STUCK.total_seconds()]
    age = duration_of(run, now) or timedelta()
    if waiting:
        stage = waiting[0]
        what = f"{stage.name} has waited {stage.seconds / 60:.0f} minutes for its pod to start"
    elif not stages and str(run.state or _WAITING) in {_WAITING, _RUNNING} and age > STUCK:
        what = f"no stage has begun for {age.total_seconds() / 60:.0f} minutes"
    else:
        return ""
    place = f"-n {namespace} " if namespace else ""
    return (
        f"{what}: its image cannot be pulled, the quota is used up, a volume is missing, or no "
        "node fits its CPUs, memory, GPUs or node selector. Why: "
        f"kubectl {place}describe pods -l pipeline/runid={run.run_id}"
    )


def _looks(
    client: KubeflowClient, run_id: str, timeout_seconds: float, poll_seconds: float
) -> Iterator[V2beta1Run]:
    began = last_answer = time.monotonic()
    while True:
        try:
            yield client.get_run(run_id)
            last_answer = time.monotonic()
        except UpstreamError as error:
            _raise_unless_passing(error, time.monotonic() - last_answer)
        except UpstreamTimeoutError as error:
            _raise_unless_passing(error, time.monotonic() - last_answer)
        left = began + timeout_seconds - time.monotonic()
        if timeout_seconds and left <= 0:
            return
        time.sleep(min(poll_seconds, left) if timeout_seconds else poll_seconds)


def _raise_unless_passing(error: UpstreamError | UpstreamTimeoutError, seconds_away: float) -> None:
    is_final = isinstance(error, RefusedError) and error.status in _FINAL_REFUSALS
    if is_final or seconds_away > OUTAGE.total_seconds():
        raise error


def _has_waiting_pod(
    task: V2beta1PipelineTaskDetail, by_pod: Mapping[str, V2beta1PipelineTaskDetail]
) -> bool:
    below = [by_pod.get(str(child.pod_name)) for child in task.child_tasks or ()]
    return any(
        str(child.state or _WAITING) == _WAITING or _has_waiting_pod(child, by_pod)
        for child in below
        if child is not None and not str(child.display_name).endswith(_DRIVER)
    )


def _seconds(task: V2beta1PipelineTaskDetail) -> float:
    started = time_of(task.start_time)
    if started is None:
        return 0.0
    return max(((time_of(task.end_time) or datetime.now(UTC)) - started).total_seconds(), 0.0)
