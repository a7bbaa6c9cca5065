"""What is read out of the tasks of a run."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from kfp_server_api import (
    GoogleRpcStatus,
    PipelineTaskDetailChildTask,
    V2beta1PipelineTaskDetail,
    V2beta1Run,
    V2beta1RunDetails,
)

from configs.errors import UpstreamTimeoutError
from pipeline.kubeflow.rest import RefusedError
from pipeline.kubeflow.watch import (
    OUTAGE,
    STUCK,
    describe_failure,
    describe_stuck,
    read_stages,
    stage_names,
    watch_run,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
STAGES = ("ExampleGen", "Trainer")


def task(name, state, *, pod="", children=(), begun=NOW, ended=NEVER, error=None):
    return V2beta1PipelineTaskDetail(
        display_name=name,
        state=state,
        pod_name=pod or name,
        start_time=begun,
        end_time=ended,
        child_tasks=[PipelineTaskDetailChildTask(pod_name=child) for child in children],
        error=GoogleRpcStatus(message=error) if error else None,
    )


def run(state, *tasks, created=NOW):
    return V2beta1Run(
        run_id="7",
        display_name="first",
        state=state,
        created_at=created,
        finished_at=NEVER,
        run_details=V2beta1RunDetails(task_details=list(tasks)),
    )


def states(found, names=STAGES):
    return [(stage.name, stage.state) for stage in read_stages(found, names)]


def test_kubeflow_s_own_tasks_are_no_stages():
    found = run(
        "RUNNING",
        task("loupe-x7k", "RUNNING"),
        task("root", "RUNNING"),
        task("root-driver", "SUCCEEDED"),
        task("ExampleGen-driver", "SUCCEEDED"),
        task("ExampleGen", "RUNNING"),
        task("executor", "RUNNING"),
        task("executor(0)", "RUNNING"),
    )
    assert states(found) == [("ExampleGen", "RUNNING")]
    assert ("ExampleGen", "RUNNING") in states(found, ())


def test_a_pod_that_waits_below_a_retry_makes_its_stage_wait():
    found = run(
        "RUNNING",
        task("Trainer", "RUNNING", children=["a"]),
        task("executor", "RUNNING", pod="a", children=["b"]),
        task("executor(0)", "PENDING", pod="b"),
    )
    assert states(found) == [("Trainer", "PENDING")]
    found.run_details.task_details[2].state = "RUNNING"
    assert states(found) == [("Trainer", "RUNNING")]


def test_a_driver_that_waits_is_not_a_stage_that_waits():
    found = run(
        "RUNNING",
        task("Trainer", "RUNNING", children=["d"]),
        task("Trainer-driver", "PENDING", pod="d"),
    )
    assert states(found) == [("Trainer", "RUNNING")]


def test_a_driver_that_fails_fails_its_stage():
    found = run("FAILED", task("Trainer", "SKIPPED"), task("Trainer-driver", "FAILED"))
    assert states(found) == [("Trainer", "FAILED")]


def test_stages_come_in_the_order_of_their_beginning_with_their_seconds():
    later = NOW + timedelta(seconds=90)
    found = run(
        "SUCCEEDED",
        task("Trainer", "SUCCEEDED", begun=later, ended=later),
        task("ExampleGen", "SUCCEEDED", ended=later),
    )
    stages = read_stages(found, STAGES)
    assert [(stage.name, stage.seconds) for stage in stages] == [("ExampleGen", 90), ("Trainer", 0)]


def test_a_failure_repeats_what_the_server_says():
    found = run(
        "FAILED", task("ExampleGen", "FAILED", error="no\n images"), task("Trainer", "FAILED")
    )
    text = describe_failure(found, read_stages(found, STAGES), "http://link")
    assert text == (
        "run 'first' failed at ExampleGen and Trainer: no images. Its log is at http://link"
    )


def test_a_run_that_never_begins_is_told_once_it_is_late():
    found = run("PENDING")
    assert not describe_stuck(found, [], "ml", NOW + STUCK)
    text = describe_stuck(found, [], "ml", NOW + STUCK + timedelta(minutes=1))
    assert text.startswith("no stage has begun for 6 minutes: its image cannot be pulled")
    assert text.endswith("kubectl -n ml describe pods -l pipeline/runid=7")


def test_a_run_that_works_is_not_stuck():
    long_ago = NOW - 10 * STUCK
    found = run("RUNNING", task("Trainer", "RUNNING", begun=long_ago), created=long_ago)
    assert not describe_stuck(found, read_stages(found, STAGES), "ml", NOW)


def test_names_of_stages_come_from_the_spec_alone_or_beside_its_platform():
    spec = {"root": {"dag": {"tasks": {"B": {}, "A": {}}}}}
    assert stage_names(spec) == stage_names({"pipeline_spec": spec}) == ["A", "B"]
    assert stage_names({}) == []


class AwayServer:
    """A client whose server is away for some looks."""

    def __init__(self, failures, clock):
        self.failures, self.clock = list(failures), clock
        self.access = type("Access", (), {"run_link": staticmethod(lambda run_id: run_id)})

    def get_run(self, run_id):
        if self.failures:
            raise self.failures.pop(0)
        return run("SUCCEEDED")


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed; sleeping is what makes them pass."""
    state = [0.0]

    def sleep(seconds):
        state[0] += seconds

    fake = SimpleNamespace(monotonic=lambda: state[0], sleep=sleep)
    monkeypatch.setattr("pipeline.kubeflow.watch.time", fake)
    return state


def test_a_server_may_be_away_for_a_while_and_not_for_ever(clock):
    away = [UpstreamTimeoutError("away")] * 3
    ended = watch_run(AwayServer(away, clock), run("RUNNING"), STAGES, lambda *_: None)
    assert ended.state == "SUCCEEDED"
    away *= 100
    with pytest.raises(UpstreamTimeoutError, match="away"):
        watch_run(AwayServer(away, clock), run("RUNNING"), STAGES, lambda *_: None)
    assert clock[0] < OUTAGE.total_seconds() * 2


def test_a_wait_that_is_shorter_than_a_poll_looks_once_more_at_its_end(clock):
    server = AwayServer([], clock)
    server.get_run = lambda _: run("SUCCEEDED" if clock[0] >= 5 else "RUNNING")
    ended = watch_run(server, run("RUNNING"), STAGES, lambda *_: None, timeout_seconds=5)
    assert ended.state == "SUCCEEDED"
    assert clock[0] == 5
    clock[0] = 0
    with pytest.raises(UpstreamTimeoutError, match="has not ended within 4 s; it goes on"):
        watch_run(server, run("RUNNING"), STAGES, lambda *_: None, timeout_seconds=4)
    assert clock[0] == 4


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_token_that_expires_while_waiting_ends_it_at_once(clock, status):
    refusal = RefusedError("refused", status)
    with pytest.raises(RefusedError):
        watch_run(AwayServer([refusal], clock), run("RUNNING"), STAGES, lambda *_: None)
    assert clock[0] == 0
