"""Schedules on the server: applied, paused, resumed, replaced and deleted.

The server cannot change a recurring run and lets two have one name. Here a name is one schedule:
applying it makes it so, whatever was there before.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kfp_server_api import V2beta1RecurringRun

from configs.errors import ConfigError, PipelineError, UpstreamError
from pipeline.kubeflow.client import (
    PAGE_SIZE,
    SORT_NEWEST_FIRST,
    KubeflowClient,
    equals,
)
from pipeline.kubeflow.runs import FINAL_STATES, time_of
from pipeline.kubeflow.versions import Version, all_pages

MAX_CONCURRENCY = 1
NO_CATCHUP = True
_DIGEST = re.compile(r"settings:([0-9a-f]{64})")
_ENABLED = "ENABLED"


@dataclass(frozen=True)
class Schedule:
    """A schedule as somebody wants it.

    Attributes:
        name: its name.
        cron: six fields, seconds first.
        version: version of the pipeline that it runs.
        values: parameters of its runs.
        experiment: what its runs are filed under.
        pipeline_root: folder of artifacts; empty means the cluster's own.
        service_account: Kubernetes account of the pods; empty means the cluster's own.
    """

    name: str
    cron: str
    version: Version
    values: Mapping[str, Any]
    experiment: str
    pipeline_root: str = ""
    service_account: str = ""

    def digest(self) -> str:
        """Digest what makes two schedules differ.

        The server fills in defaults and gives times and numbers back in other forms, so that
        fields cannot be compared; the digest in the description can.

        Returns:
            Hexadecimal SHA-256.
        """
        content = [
            self.cron,
            self.version.pipeline_id,
            self.version.version_id,
            dict(self.values),
            self.experiment,
            self.pipeline_root,
            self.service_account,
            MAX_CONCURRENCY,
            NO_CATCHUP,
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Outcome(StrEnum):
    """What applying a schedule did."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    PAUSED = "paused"
    RESUMED = "resumed"


@dataclass(frozen=True)
class Applied:
    """A schedule as it now is.

    Attributes:
        recurring_run_id: its id on the server.
        outcome: what was done.
        is_enabled: it starts runs.
        left_behind: ids of paused predecessors whose run has not ended; deleting them would end
            it. The next time the schedule is applied they go.
    """

    recurring_run_id: str
    outcome: Outcome
    is_enabled: bool
    left_behind: tuple[str, ...] = ()


def apply_schedule(
    client: KubeflowClient, schedule: Schedule, *, is_paused: bool | None = None
) -> Applied:
    """Make a schedule be as it is wanted, and the only one of its name.

    One that differs is replaced so that no time is missed or run twice: the old one stops, the new
    one counts from that moment on the server's clock, and only then the old one is deleted. When
    the new one is refused, the old one goes on.

    Args:
        client: the client.
        schedule: the schedule.
        is_paused: pause or resume it; None leaves that as it is.

    Returns:
        The schedule as it now is.

    Raises:
        PipelineError: the server refused or did not answer.
    """
    known = find_schedules(client, schedule.name)
    was_enabled = any(_is_enabled(each) for each in known)
    should_run = (was_enabled or not known) if is_paused is None else not is_paused
    same = [each for each in known if _digest_of(each) == schedule.digest()]
    same.sort(key=_is_enabled, reverse=True)
    if not same:
        return _replace(client, schedule, known, should_run=should_run)
    kept = same[0]
    others = [each for each in known if each is not kept]
    _set_enabled(client, others, is_enabled=False)
    was_kept_enabled = _is_enabled(kept)
    _set_enabled(client, [kept], is_enabled=should_run)
    outcome = Outcome.UNCHANGED
    if was_kept_enabled != should_run:
        outcome = Outcome.RESUMED if should_run else Outcome.PAUSED
    left = _delete_all(client, others)
    return Applied(str(kept.recurring_run_id), outcome, should_run, left)


def set_paused(client: KubeflowClient, name: str, *, is_paused: bool) -> Applied:
    """Pause or resume a schedule that is there.

    Args:
        client: the client.
        name: its name.
        is_paused: pause it; otherwise resume it.

    Returns:
        The schedule as it now is.

    Raises:
        ConfigError: there is none of that name, or there are several.
    """
    known = find_schedules(client, name)
    if len(known) != 1:
        count = "no schedule is" if not known else f"{len(known)} schedules are"
        raise ConfigError(
            f"{count} called '{name}', expected one. Apply it: loupe kubeflow schedule --cron ..."
        )
    is_changed = _is_enabled(known[0]) == is_paused
    _set_enabled(client, known, is_enabled=not is_paused)
    done = Outcome.PAUSED if is_paused else Outcome.RESUMED
    outcome = done if is_changed else Outcome.UNCHANGED
    return Applied(str(known[0].recurring_run_id), outcome, not is_paused)


def find_schedules(client: KubeflowClient, name: str) -> list[V2beta1RecurringRun]:
    """Find the schedules of a name.

    Args:
        client: the client.
        name: the name.

    Returns:
        Those there are, newest first; more than one only when somebody else made them.
    """
    return list(
        all_pages(
            lambda token: client.list_recurring_runs(
                page_token=token,
                page_size=PAGE_SIZE,
                sort_by=SORT_NEWEST_FIRST,
                namespace=client.get_user_namespace() or None,
                filter=equals("display_name", name),
            ),
            "recurring_runs",
        )
    )


def active_runs(client: KubeflowClient, schedules: Sequence[V2beta1RecurringRun]) -> list[str]:
    """Find runs of schedules that have not ended; deleting the schedule would end them.

    Args:
        client: the client.
        schedules: the schedules.

    Returns:
        Names of the runs among the newest ones.
    """
    ids = {each.recurring_run_id for each in schedules}
    runs = client.list_runs(page_size=PAGE_SIZE, sort_by=SORT_NEWEST_FIRST).runs or ()
    return [
        str(run.display_name)
        for run in runs
        if run.recurring_run_id in ids and str(run.state) not in FINAL_STATES
    ]


def _replace(
    client: KubeflowClient,
    schedule: Schedule,
    known: Sequence[V2beta1RecurringRun],
    *,
    should_run: bool,
) -> Applied:
    experiment_id = client.find_or_make_experiment(schedule.experiment)
    stopped = [each for each in known if _is_enabled(each)]
    try:
        _set_enabled(client, stopped, is_enabled=False)
        moment = _stopped_at(client, stopped) if should_run else None
        made_id = _create(client, schedule, experiment_id, moment, should_run=should_run)
    except (PipelineError, KeyboardInterrupt) as error:
        made_id = _recover(client, schedule, stopped, error)
    left = _delete_all(client, known)
    outcome = Outcome.REPLACED if known else Outcome.CREATED
    return Applied(made_id, outcome, should_run, left)


def _create(
    client: KubeflowClient,
    schedule: Schedule,
    experiment_id: str,
    moment: str | None,
    *,
    should_run: bool,
) -> str:
    made = client.create_recurring_run(
        experiment_id,
        schedule.name,
        description=f"Applied by loupe, settings:{schedule.digest()}",
        cron_expression=schedule.cron,
        start_time=moment,
        max_concurrency=MAX_CONCURRENCY,
        no_catchup=NO_CATCHUP,
        params=dict(schedule.values),
        pipeline_id=schedule.version.pipeline_id,
        version_id=schedule.version.version_id,
        enabled=should_run,
        pipeline_root=schedule.pipeline_root or None,
        service_account=schedule.service_account or None,
    )
    return str(made.recurring_run_id)


def _recover(
    client: KubeflowClient,
    schedule: Schedule,
    stopped: Sequence[V2beta1RecurringRun],
    error: PipelineError | KeyboardInterrupt,
) -> str:
    # The answer may have been lost after the server had made the new one.
    try:
        for each in find_schedules(client, schedule.name):
            if _digest_of(each) == schedule.digest():
                return str(each.recurring_run_id)
        for each in stopped:
            client.enable_recurring_run(str(each.recurring_run_id))
    except PipelineError as second:
        if not stopped:
            raise error from None
        raise UpstreamError(
            f"schedule '{schedule.name}' was being replaced when the server went away, so it may "
            f"be paused now. Apply it again, with --resume. The cause: {second}"
        ) from error
    raise error


def _stopped_at(client: KubeflowClient, stopped: Sequence[V2beta1RecurringRun]) -> str | None:
    # The server's own clock, asked at once: the clock of this machine may be another.
    times = [
        time_of(client.get_recurring_run(str(each.recurring_run_id)).updated_at) for each in stopped
    ]
    latest: datetime | None = max((each for each in times if each), default=None)
    return latest.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if latest else None


def _delete_all(
    client: KubeflowClient, schedules: Sequence[V2beta1RecurringRun]
) -> tuple[str, ...]:
    left: list[str] = []
    for each in schedules:
        if active_runs(client, [each]):
            left.append(str(each.recurring_run_id))
        else:
            client.delete_recurring_run(str(each.recurring_run_id))
    return tuple(left)


def _set_enabled(
    client: KubeflowClient, schedules: Sequence[V2beta1RecurringRun], *, is_enabled: bool
) -> None:
    change = client.enable_recurring_run if is_enabled else client.disable_recurring_run
    for each in schedules:
        if _is_enabled(each) != is_enabled:
            change(str(each.recurring_run_id))


def _is_enabled(schedule: V2beta1RecurringRun) -> bool:
    return str(schedule.status) == _ENABLED


def _digest_of(schedule: V2beta1RecurringRun) -> str:
    match = _DIGEST.search(schedule.description or "")
    return match[1] if match else ""
