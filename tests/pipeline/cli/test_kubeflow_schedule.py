"""`loupe kubeflow schedule` against a strict server on loopback."""

import json
from pathlib import Path

import pytest

from configs.errors import ConfigError, UpstreamError

GOLDEN = Path(__file__).with_name("golden")
RECURRING = "/apis/v2beta1/recurringruns"
NIGHTLY = ("kubeflow", "schedule", "--cron", "0 0 3 * * *")


def recurring_changes(state):
    """What was done to recurring runs, in order, without ids."""
    words = []
    for method, path in state.changes():
        if path.startswith(RECURRING):
            words.append(path.rpartition(":")[2] if ":" in path else method)
    return words


@pytest.fixture
def scheduled(uploaded, loupe):
    """The server's state after a schedule was applied."""
    assert loupe(*NIGHTLY).code == 0
    uploaded.requests.clear()
    return uploaded


def test_schedule_sends_the_recorded_body(uploaded, loupe):
    done = loupe(
        *(*NIGHTLY, "--name", "nightly", "-p", "train_epochs=3"),
        *("-s", "kubeflow.pipeline_root=s3://bucket/loupe"),
        *("-s", "kubeflow.service_account=trainer"),
    )
    assert done.code == 0, done.text
    (body,) = uploaded.bodies("POST", RECURRING)
    path = GOLDEN / "schedule.json"
    assert body == json.loads(path.read_text()), json.dumps(body, indent=1)
    (schedule_id,) = uploaded.recurring
    assert "schedule nightly: created" in done.text
    assert done.lines[-1] == f"{uploaded.url}/#/recurringrun/details/{schedule_id}"


def test_each_scheduled_run_reads_the_images_again(scheduled, loupe):
    (schedule,) = scheduled.recurring
    given = [scheduled.run_scheduled(schedule)["data_version"] for _ in range(2)]
    assert len(set(given)) == 2, "the second run would come from the cache"
    table = loupe("kubeflow", "runs").text
    assert all(version in table for version in given)
    assert "{{" not in table


def test_the_same_schedule_twice_leaves_one_and_changes_nothing(scheduled, loupe):
    before = json.dumps(scheduled.recurring)
    again = loupe(*NIGHTLY)
    assert again.code == 0
    assert "schedule loupe: unchanged" in again.text
    assert recurring_changes(scheduled) == []
    assert json.dumps(scheduled.recurring) == before


def test_the_cron_may_come_from_the_settings_and_have_more_blanks(scheduled, loupe):
    again = loupe("kubeflow", "schedule", "-s", "kubeflow.schedule=0  0 3 * *   *")
    assert "unchanged" in again.text
    assert recurring_changes(scheduled) == []


@pytest.mark.parametrize(
    "words",
    [
        ("--cron", "0 0 4 * * *"),
        ("-p", "train_epochs=7"),
        ("--data-version", "v1"),
        ("-s", "kubeflow.pipeline_root=s3://elsewhere"),
        ("-s", "kubeflow.service_account=trainer"),
        ("-s", "kubeflow.experiment=other"),
    ],
)
def test_a_changed_schedule_replaces_the_old_one(scheduled, loupe, words):
    (old,) = scheduled.recurring
    changed = loupe(*NIGHTLY, *words)
    assert changed.code == 0, changed.text
    assert "schedule loupe: replaced" in changed.text
    (new,) = scheduled.recurring.values()
    assert new["recurring_run_id"] != old
    assert new["status"] == "ENABLED"
    # Never both: the old one stops first. Never none: the new one counts from that moment.
    assert recurring_changes(scheduled) == ["disable", "POST", "DELETE"]
    (body,) = scheduled.bodies("POST", RECURRING)
    assert body["trigger"]["cron_schedule"]["start_time"] < new["created_at"]
    loupe(*NIGHTLY, *words)
    assert len(scheduled.recurring) == 1


def test_a_new_version_replaces_the_schedule_of_the_old_one(scheduled, compiled_file, loupe):
    loupe("kubeflow", "upload", "--file", compiled_file, "--version", "git-2")
    assert "replaced" in loupe(*NIGHTLY).text
    (new,) = scheduled.recurring.values()
    versions = {v["pipeline_version_id"]: v["display_name"] for v in scheduled.versions.values()}
    assert versions[new["pipeline_version_reference"]["pipeline_version_id"]] == "git-2"


def test_the_new_one_begins_when_the_old_one_stopped(scheduled, loupe):
    stops = []
    real = scheduled.set_mode

    def set_mode(schedule, *, is_enabled):
        real(schedule, is_enabled=is_enabled)
        if not is_enabled:
            stops.append(schedule["updated_at"])

    scheduled.set_mode = set_mode
    loupe(*NIGHTLY, "-p", "train_epochs=7")
    (body,) = scheduled.bodies("POST", RECURRING)
    assert [body["trigger"]["cron_schedule"]["start_time"]] == stops


def test_when_the_new_one_is_refused_the_old_one_goes_on(scheduled, loupe):
    scheduled.refuse("POST", "recurringruns$", 400, "InvalidInputError: no")
    refused = loupe(*NIGHTLY, "-p", "train_epochs=7")
    assert refused.code == UpstreamError.exit_code
    assert "InvalidInputError: no" in refused.text
    (old,) = scheduled.recurring.values()
    assert old["status"] == "ENABLED"


def test_an_answer_that_is_lost_makes_no_second_schedule(scheduled, loupe):
    scheduled.plans["POST", "recurringruns$"] = ConnectionError
    done = loupe(*NIGHTLY, "-p", "train_epochs=7")
    assert done.code == 0, done.text
    (new,) = scheduled.recurring.values()
    assert new["runtime_config"]["parameters"]["train_epochs"] == 7
    assert new["status"] == "ENABLED"


def test_a_server_that_goes_away_in_the_middle_is_told(scheduled, loupe):
    scheduled.plans["POST", "recurringruns$"] = (503, "gone", "text/plain")
    scheduled.plans["GET", r"recurringruns\?"] = (200, json.dumps({}), "application/json")
    scheduled.plans["POST", ":enable"] = (503, "gone", "text/plain")
    # The list is answered until the old one is stopped.
    listed = scheduled.plans.pop(("GET", r"recurringruns\?"))
    real = scheduled.set_mode

    def set_mode(schedule, *, is_enabled):
        real(schedule, is_enabled=is_enabled)
        scheduled.plans["GET", r"recurringruns\?"] = listed

    scheduled.set_mode = set_mode
    failed = loupe(*NIGHTLY, "-p", "train_epochs=7")
    assert failed.code == UpstreamError.exit_code
    assert "it may be paused now. Apply it again, with --resume" in failed.text


def test_a_predecessor_whose_run_goes_on_stays_paused_until_it_ended(scheduled, loupe):
    (old,) = scheduled.recurring
    run = {"run_id": scheduled.new_id(), "display_name": "r", "state": "RUNNING"}
    run |= {"recurring_run_id": old, "created_at": scheduled.now()}
    scheduled.runs[run["run_id"]] = run
    changed = loupe(*NIGHTLY, "-p", "train_epochs=7")
    assert changed.code == 0
    assert f"predecessor {old} is paused and stays until its run ends" in changed.text
    assert run["state"] == "RUNNING"
    assert [each["recurring_run_id"] == old for each in scheduled.enabled()] == [False]
    run["state"] = "SUCCEEDED"
    again = loupe(*NIGHTLY, "-p", "train_epochs=7")
    assert "unchanged" in again.text
    assert len(scheduled.recurring) == 1
    assert old not in scheduled.recurring


def test_schedules_of_one_name_that_somebody_made_become_one(scheduled, loupe):
    (old,) = scheduled.recurring.values()
    for description in ("", old["description"]):
        copy = {**old, "recurring_run_id": scheduled.new_id(), "description": description}
        scheduled.recurring[copy["recurring_run_id"]] = copy
    assert loupe(*NIGHTLY).code == 0
    (left,) = scheduled.recurring.values()
    assert left["description"] == old["description"]
    assert left["status"] == "ENABLED"


def test_pause_and_resume(scheduled, loupe):
    paused = loupe("kubeflow", "schedule", "--pause")
    assert "schedule loupe: paused It is paused: it starts no runs until --resume." in paused.text
    assert scheduled.enabled() == []
    assert "unchanged" in loupe("kubeflow", "schedule", "--pause").text
    kept = loupe(*NIGHTLY)
    assert "unchanged It is paused" in kept.text
    assert "replaced It is paused" in loupe(*NIGHTLY, "-p", "train_epochs=7").text
    assert scheduled.enabled() == []
    assert "resumed" in loupe("kubeflow", "schedule", "--resume").text
    assert len(scheduled.enabled()) == len(scheduled.recurring) == 1
    assert "paused" in loupe(*NIGHTLY, "-p", "train_epochs=7", "--pause").text
    assert scheduled.enabled() == []


def test_a_new_schedule_may_begin_paused(uploaded, loupe):
    assert "created It is paused" in loupe(*NIGHTLY, "--pause").text
    (body,) = uploaded.bodies("POST", RECURRING)
    assert body["mode"] == "DISABLE"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cron", "0 3 * * *"], "has five fields, expected six, with seconds first"),
        (["--cron", "0 61 3 * * *"], "the minute is '61', expected 0 to 59"),
        ([], "there is no cron expression. Give --cron"),
        (["--pause", "--resume"], "--pause and --resume are both given"),
        (["--cron", "0 0 3 * * *", "-p", "epochs=3"], "has no parameter 'epochs'"),
        (["--cron", "0 0 3 * * *", "--version", "no"], "has no version 'no'"),
        (
            ["--cron", "0 0 3 * * *", "--data-version", "day-[[ScheduledTime.2006-01-02]]"],
            "would get [[ScheduledTime.2006-01-02]] as it stands: Kubeflow Pipelines 2 puts no "
            "value there. Write {{workflow.uid}}",
        ),
        (["--pause"], "no schedule is called 'loupe'"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_before_anything_is_sent(
    uploaded, loupe, words, message
):
    refused = loupe("kubeflow", "schedule", *words)
    assert refused.code == ConfigError.exit_code
    assert message in refused.text
    assert uploaded.changes() == []


def test_delete_of_a_schedule_says_what_goes_with_it(scheduled, loupe):
    (schedule_id,) = scheduled.recurring
    run = {"run_id": scheduled.new_id(), "display_name": "r-7", "state": "RUNNING"}
    run |= {"recurring_run_id": schedule_id, "created_at": scheduled.now()}
    scheduled.runs[run["run_id"]] = run
    asked = loupe("kubeflow", "delete", "schedule", "loupe")
    assert "Its run 'r-7' has not ended and goes with it." in asked.text
    assert loupe("kubeflow", "delete", "schedule", "loupe", "--yes").code == 0
    assert not scheduled.recurring
