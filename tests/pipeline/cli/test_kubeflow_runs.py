"""`loupe kubeflow upload|run|runs|wait|delete` against a strict server on loopback."""

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from configs.errors import ConfigError, StageError, UpstreamError
from pipeline.cli.run import EXIT_INTERRUPTED
from pipeline.kubeflow.run_parameters import data_version_of

GOLDEN = Path(__file__).with_name("golden")
RUNS = "/apis/v2beta1/runs"


def compare_with_golden(name, body):
    path = GOLDEN / f"{name}.json"
    assert body == json.loads(path.read_text()), f"{path} differs from {json.dumps(body, indent=1)}"


@pytest.fixture
def clone(monkeypatch, tmp_path):
    """A repository with one commit that stands for the one the code is in."""
    folder = tmp_path / "clone"
    folder.mkdir()

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        return subprocess.run(
            ["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    monkeypatch.setattr("pipeline.cli.kubeflow_runs.REPOSITORY_ROOT", folder)
    folder.joinpath(".git/info/exclude").write_text("")
    return type("Clone", (), {"folder": folder, "commit": git("rev-parse", "HEAD"), "git": git})


def upload(loupe, file, *words):
    return loupe("kubeflow", "upload", "--file", file, *words)


def test_upload_makes_one_version_per_commit(kubeflow, compiled_file, clone, loupe):
    first = upload(loupe, compiled_file)
    name = f"git-{clone.commit[:12]}"
    (version,) = kubeflow.versions.values()
    assert first.code == 0
    assert f"version {name}: uploaded" in first.text
    assert version["display_name"] == name
    assert f"/#/pipelines/details/{version['pipeline_id']}/version/" in first.text

    before = kubeflow.changes()
    again = upload(loupe, compiled_file)
    assert again.code == 0
    assert "there already, unchanged" in again.text
    assert kubeflow.changes() == before
    clone.git(
        "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--allow-empty", "-q", "-m", "2"
    )
    assert upload(loupe, compiled_file).code == 0
    assert len(kubeflow.versions) == 2
    assert len(kubeflow.pipelines) == 1


def test_upload_of_a_dirty_tree_says_so_and_is_one_version_per_content(
    kubeflow, compiled_file, clone, loupe
):
    (clone.folder / "new.py").write_text("x = 1\n")
    first = upload(loupe, compiled_file)
    assert "This tree differs from commit" in first.text
    assert re.search(rf"git-{clone.commit[:12]}-dirty-[0-9a-f]{{8}}: uploaded", first.text)
    assert "there already" in upload(loupe, compiled_file).text
    compiled_file.write_text(compiled_file.read_text().replace("Value: 20", "Value: 30"))
    assert "uploaded" in upload(loupe, compiled_file).text
    assert len(kubeflow.versions) == 2


def test_other_content_under_the_same_commit_is_refused(kubeflow, compiled_file, clone, loupe):
    upload(loupe, compiled_file)
    compiled_file.write_text(compiled_file.read_text().replace("Value: 20", "Value: 30"))
    before = kubeflow.changes()
    refused = upload(loupe, compiled_file)
    assert refused.code == ConfigError.exit_code
    assert "is there already with other content" in refused.text
    assert kubeflow.changes() == before
    assert upload(loupe, compiled_file, "--version", "gpu").code == 0


def test_upload_outside_a_clone_asks_for_a_name(kubeflow, compiled_file, tmp_path, loupe, clone):
    subprocess.run(["rm", "-rf", clone.folder / ".git"], check=True)
    refused = upload(loupe, compiled_file)
    assert refused.code == ConfigError.exit_code
    assert "cannot be found" in refused.text
    assert "--version" in refused.text
    assert kubeflow.changes() == []


def test_a_refused_first_upload_leaves_no_empty_pipeline(kubeflow, compiled_file, loupe):
    kubeflow.refuse("POST", "upload_version", 400, "Failed to validate the pipeline spec")
    refused = upload(loupe, compiled_file, "--version", "git-1")
    assert refused.code == UpstreamError.exit_code
    assert "refused the request (400): Failed to validate the pipeline spec." in refused.text
    assert not kubeflow.pipelines
    assert not kubeflow.versions


@pytest.mark.parametrize("said", ["create a pipeline version", "read a pipeline spec file"])
def test_an_upload_that_is_refused_without_a_reason_says_where_to_look(
    kubeflow, compiled_file, loupe, said
):
    # The real server answers so when the user may read pipelines and not create them.
    body = {"error_message": f"Failed to {said}", "error_details": f"Failed to {said}"}
    kubeflow.plans["POST", "upload_version"] = (400, json.dumps(body), "application/json")
    refused = upload(loupe, compiled_file, "--version", "git-1")
    assert refused.code == UpstreamError.exit_code
    assert f"refused the upload (400): Failed to {said}. It keeps the reason in" in refused.text
    assert "no right to create pipelines in namespace 'kubeflow'" in refused.text
    assert not kubeflow.pipelines


def test_an_upload_whose_answer_is_lost_is_there_the_next_time(kubeflow, compiled_file, loupe):
    kubeflow.plans["POST", "upload_version"] = ConnectionError
    lost = upload(loupe, compiled_file, "--version", "git-1")
    assert lost.code == UpstreamError.exit_code
    assert "did not answer over HTTP" in lost.text
    assert "there already" in upload(loupe, compiled_file, "--version", "git-1").text
    assert len(kubeflow.pipelines) == len(kubeflow.versions) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("2.1.0", "2.0.0"), "2.1"),
        (("ExampleGen:", "Example_Gen:"), "Example_Gen"),
        (("{", "{{{"), "is not YAML"),
        (("pipelineInfo", "---\n---\na"), "holds 4 YAML documents"),
    ],
)
def test_a_file_that_kubeflow_would_refuse_is_not_sent(
    kubeflow, compiled_file, loupe, change, message
):
    text = compiled_file.read_text()
    assert change[0] in text
    compiled_file.write_text(text.replace(*change))
    refused = upload(loupe, compiled_file, "--version", "git-1")
    assert refused.code == ConfigError.exit_code
    assert message in refused.text
    assert kubeflow.changes() == []


def test_a_second_upload_of_the_same_commit_in_the_same_moment_is_no_error(
    kubeflow, compiled_file, loupe, uploaded, monkeypatch
):
    # The other one is stored between the look and the upload.
    from pipeline.kubeflow import versions

    real = versions._find
    answers = iter([None])
    monkeypatch.setattr(versions, "_find", lambda *words: next(answers, real(*words)))
    again = upload(loupe, compiled_file, "--version", "git-1")
    assert again.code == 0
    assert "there already" in again.text
    assert ("POST", "/apis/v2beta1/pipelines/upload_version") in kubeflow.changes()
    assert len(kubeflow.versions) == 1


def test_run_sends_the_recorded_body(uploaded, loupe):
    done = loupe(
        *("kubeflow", "run", "--name", "ci-1", "--data-version", "v1"),
        *("-p", "train_epochs=3", "-p", "dropout=0.5", "-p", "balance=false"),
        *("-p", 'classes=["a", "b"]', "-p", 'labels={"a": 1}'),
        *("-s", "kubeflow.pipeline_root=s3://bucket/loupe"),
        *("-s", "kubeflow.service_account=trainer"),
    )
    assert done.code == 0, done.text
    (body,) = uploaded.bodies("POST", RUNS)
    compare_with_golden("run", body)
    (run_id,) = uploaded.runs
    assert done.lines[-1] == f"{uploaded.url}/#/runs/details/{run_id}"


def test_run_fingerprints_the_images_it_can_see(uploaded, loupe, draw_photo, encode, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        data = encode(draw_photo(8, 8), "PNG")
        (tmp_path / "images" / name / "1.png").write_bytes(data)
    images = tmp_path / "images"
    assert loupe("kubeflow", "run", "--data", images).code == 0
    assert loupe("kubeflow", "run", "-p", f"data_root={images}").code == 0
    (images / "dog" / "2.png").write_bytes(data)
    assert loupe("kubeflow", "run", "--data", images).code == 0
    told = [body["runtime_config"]["parameters"] for body in uploaded.bodies("POST", RUNS)]
    assert told[0]["data_version"] == told[1]["data_version"] != told[2]["data_version"]
    assert told[2]["data_version"] == data_version_of(images)


def test_run_if_new_starts_one_per_version_and_data(uploaded, compiled_file, loupe):
    words = ("kubeflow", "run", "--if-new", "--data-version")
    first = loupe(*words, "v1")
    again = loupe(*words, "v1")
    assert again.code == 0
    assert "is there already" in again.text
    assert again.lines[-1] == first.lines[-1]
    assert len(uploaded.runs) == 1
    loupe(*words, "v2")
    upload(loupe, compiled_file, "--version", "git-2")
    loupe(*words, "v2")
    assert len(uploaded.runs) == 3
    for run_id in uploaded.runs:
        uploaded.finish_run(run_id, "FAILED")
    loupe(*words, "v2")
    assert len(uploaded.runs) == 4


def test_run_if_new_gives_up_after_three_failures(uploaded, loupe):
    words = ("kubeflow", "run", "--if-new", "--data-version", "v1")
    for state in ("FAILED", "CANCELED", "FAILED"):
        assert loupe(*words).code == 0
        uploaded.finish_run(list(uploaded.runs)[-1], state)
    last = list(uploaded.runs)[-1]
    given_up = loupe(*words)
    assert given_up.code == StageError.exit_code
    assert "3 runs of git-1 with these parameters failed or were cancelled" in given_up.text
    assert f"It is at {uploaded.url}/#/runs/details/{last}" in given_up.text
    assert len(uploaded.runs) == 3
    assert loupe(*words[:-1], "v2").code == 0
    assert loupe("kubeflow", "run", "--data-version", "v1").code == 0


def test_links_may_lead_to_another_address(uploaded, loupe, monkeypatch):
    monkeypatch.setenv("LOUPE_KUBEFLOW_UI", "https://kubeflow.example/pipeline/")
    done = loupe("kubeflow", "run", "--data-version", "v1")
    assert done.lines[-1].startswith("https://kubeflow.example/pipeline/#/runs/details/0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "epochs=3"], "has no parameter 'epochs', expected one of: balance, classes, data"),
        (["-p", "train_epochs"], "parameter 'train_epochs' has no '='"),
        (["-p", "train_epochs=three"], "train_epochs is 'three', expected a whole number"),
        (["-p", "train_epochs=1.5"], "train_epochs is '1.5', expected a whole number"),
        (["-p", "train_epochs=true"], "train_epochs is 'true', expected a whole number"),
        (["-p", "dropout=NaN"], "dropout is 'NaN', expected a number"),
        (["-p", "balance=1"], "balance is '1', expected true or false"),
        (["-p", "classes={}"], "classes is '{}', expected a JSON list"),
        (["-p", "labels=[]"], "labels is '[]', expected a JSON object"),
        (["-p", "data_version=v1"], "both given, expected one"),
        (["--version", "git-2"], "has no version 'git-2', expected one of: git-1"),
    ],
)
def test_what_a_run_cannot_be_told_is_refused_before_anything_is_sent(
    uploaded, loupe, words, message
):
    refused = loupe("kubeflow", "run", "--data-version", "v0", *words)
    assert refused.code == ConfigError.exit_code
    assert message in refused.text
    assert uploaded.changes() == []


def test_run_without_a_data_version_says_how_to_give_one(uploaded, loupe):
    refused = loupe("kubeflow", "run", "-p", "data_root=/no/such/folder")
    assert refused.code == ConfigError.exit_code
    assert "'/no/such/folder' cannot be seen from here" in refused.text
    assert "--data-version" in refused.text
    assert uploaded.changes() == []


def test_run_before_any_upload_says_what_to_do(kubeflow, loupe):
    refused = loupe("kubeflow", "run", "--data-version", "v1")
    assert refused.code == ConfigError.exit_code
    assert "there is no pipeline 'loupe'" in refused.text
    assert "loupe kubeflow upload" in refused.text


def task(name, state, pod="", children=(), begun=""):
    begun = begun or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "display_name": name,
        "state": state,
        "pod_name": pod or f"pod-{name}",
        "start_time": begun,
        "end_time": "1970-01-01T00:00:00Z" if state in {"PENDING", "RUNNING"} else begun,
        "child_tasks": [{"pod_name": child} for child in children],
    }


def look(state, *tasks):
    return {"state": state, "run_details": {"task_details": list(tasks)}}


@pytest.fixture
def quick(monkeypatch):
    clock = [0.0]

    def sleep(seconds):
        clock[0] += seconds

    fake = SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0])
    monkeypatch.setattr("pipeline.kubeflow.watch.time", fake)


@pytest.fixture
def started(uploaded, loupe):
    """Id of a run that was started."""
    assert loupe("kubeflow", "run", "--name", "first", "--data-version", "v1").code == 0
    (run_id,) = uploaded.runs
    uploaded.requests.clear()
    return run_id


def test_wait_shows_each_change_and_ends_with_0(uploaded, started, loupe, quick):
    uploaded.looks[started] = [
        look("RUNNING", task("root", "RUNNING"), task("ExampleGen-driver", "SUCCEEDED")),
        look(
            "RUNNING",
            task("ExampleGen", "RUNNING", children=["pod-1"]),
            task("executor", "PENDING", "pod-1"),
        ),
        look(
            "RUNNING",
            task("ExampleGen", "RUNNING", children=["pod-1"]),
            task("executor", "RUNNING", "pod-1"),
        ),
        look("SUCCEEDED", task("ExampleGen", "SUCCEEDED"), task("Trainer", "SUCCEEDED")),
    ]
    done = loupe("kubeflow", "wait", "first")
    assert done.code == 0
    assert [line.split(",")[0] for line in done.lines[2:-1]] == [
        "ExampleGen: waits for its pod",
        "ExampleGen: running",
        "ExampleGen: succeeded",
        "Trainer: succeeded",
    ]
    assert done.lines[-1].startswith("run first succeeded in ")


@pytest.mark.parametrize("name", ["Trainer", "Trainer-driver"])
def test_a_run_that_fails_names_the_stage_and_the_link(uploaded, started, loupe, quick, name):
    uploaded.looks[started] = [
        look(
            "FAILED",
            task("loupe-abc", "FAILED"),
            task("ExampleGen", "SUCCEEDED"),
            task(name, "FAILED"),
            task("executor", "FAILED"),
        )
    ]
    failed = loupe("kubeflow", "wait", started)
    assert failed.code == StageError.exit_code
    assert "StageError: run 'first' failed at Trainer." in failed.text
    assert f"{uploaded.url}/#/runs/details/{started}" in failed.text


def test_run_with_wait_fails_as_the_run_does(uploaded, loupe, quick):
    uploaded.plans["GET", r"/runs/[0-9a-f]"] = (
        200,
        json.dumps({"run_id": "1", "display_name": "x", **look("FAILED")}),
        "application/json",
    )
    failed = loupe("kubeflow", "run", "--data-version", "v1", "--wait")
    assert failed.code == StageError.exit_code
    assert "ended as FAILED before any stage began" in failed.text


def test_a_cancelled_run_is_called_so(uploaded, started, loupe, quick):
    uploaded.looks[started] = [look("CANCELED", task("Trainer", "CANCELED"))]
    failed = loupe("kubeflow", "wait", "first")
    assert failed.code == StageError.exit_code
    assert "run 'first' was cancelled" in failed.text


def test_an_image_that_cannot_be_pulled_is_told_while_the_run_waits(
    uploaded, started, loupe, quick
):
    uploaded.looks[started] = [
        look(
            "RUNNING",
            task("Trainer", "RUNNING", children=["p"], begun="2020-01-01T00:00:00Z"),
            task("executor", "PENDING", "p", begun="2020-01-01T00:00:00Z"),
        )
    ]
    failed = loupe("kubeflow", "wait", "first", "--timeout", "15")
    assert failed.code == 1
    assert "Trainer has waited" in failed.text
    assert "its image cannot be pulled, the quota is used up" in failed.text
    assert f"kubectl -n kubeflow describe pods -l pipeline/runid={started}" in failed.text
    assert "has not ended within 15 s; it goes on" in failed.text


def test_waiting_survives_a_server_that_is_away_for_a_moment(uploaded, loupe, monkeypatch):
    uploaded.plans["GET", "/runs/[0-9a-f]"] = (503, "no healthy upstream", "text/plain")

    def comes_back(_):
        uploaded.plans.clear()
        uploaded.finish_run(next(iter(uploaded.runs)), "SUCCEEDED")

    monkeypatch.setattr("pipeline.kubeflow.watch.time.sleep", comes_back)
    done = loupe("kubeflow", "run", "--data-version", "v1", "--wait")
    assert done.code == 0, done.text
    assert "succeeded in" in done.lines[-1]


@pytest.mark.parametrize(("status", "goes_on"), [(401, True), (404, False)])
def test_what_ends_the_watching_says_whether_the_run_goes_on(uploaded, loupe, status, goes_on):
    uploaded.refuse("GET", "/runs/[0-9a-f]", status, "no")
    ended = loupe("kubeflow", "run", "--data-version", "v1", "--wait")
    assert ended.code == UpstreamError.exit_code
    (run_id,) = uploaded.runs
    assert (f"Watch it again: loupe kubeflow wait {run_id}" in ended.text) == goes_on


def test_ctrl_c_ends_the_watching_and_not_the_run(uploaded, started, loupe, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.kubeflow.watch.time.sleep", interrupt)
    stopped = loupe("kubeflow", "wait", "first")
    assert stopped.code == EXIT_INTERRUPTED
    assert f"The run goes on. Watch it again: loupe kubeflow wait {started}" in stopped.text
    assert uploaded.changes() == []


def test_runs_shows_a_table(uploaded, started, loupe):
    uploaded.runs[started] |= {"state": "SUCCEEDED", "finished_at": "2026-11-21T11:30:00Z"}
    loupe("kubeflow", "run", "--name", "second", "--data-version", "v2")
    shown = loupe("kubeflow", "runs")
    header, second, first = shown.lines
    assert " ".join(header.split()) == "name state started (UTC) duration version data version link"
    assert second.split()[:2] == ["second", "pending"]
    assert first.split()[:2] == ["first", "succeeded"]
    assert "1 h 29 min" in first
    assert "git-1" in first
    assert "v1" in first
    assert f"{uploaded.url}/#/runs/details/{started}" in first
    assert len(loupe("kubeflow", "runs", "--limit", "1").lines) == 2


def test_runs_of_more_than_a_page_are_shown(uploaded, started, loupe, monkeypatch):
    monkeypatch.setattr("pipeline.kubeflow.runs.PAGE_SIZE", 2)
    for number in range(4):
        loupe("kubeflow", "run", "--name", f"r{number}", "--data-version", "v")
    assert len(loupe("kubeflow", "runs").lines) == 6


def test_runs_without_any_says_how_to_start_one(kubeflow, loupe):
    assert "There are no runs yet" in loupe("kubeflow", "runs").text


def test_wait_for_a_run_that_is_not_there_or_not_alone(uploaded, started, loupe):
    loupe("kubeflow", "run", "--name", "first", "--data-version", "v1")
    refused = loupe("kubeflow", "wait", "first")
    assert refused.code == ConfigError.exit_code
    assert "2 runs are called 'first'" in refused.text
    assert started in refused.text
    for name in ("second", "00000000-0000-0000-0000-0000000000ff"):
        refused = loupe("kubeflow", "wait", name)
        assert refused.code == ConfigError.exit_code
        assert "there is no run" in refused.text


def test_delete_asks_first(uploaded, started, loupe, monkeypatch):
    refused = loupe("kubeflow", "delete", "run", "first")
    assert refused.code == ConfigError.exit_code
    assert "This deletes run 'first' (pending). It has not ended" in refused.text
    assert "--yes" in refused.text
    assert started in uploaded.runs
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert loupe("kubeflow", "delete", "run", "first", "--yes").code == 0
    assert not uploaded.runs


@pytest.mark.parametrize(("answer", "is_deleted"), [("y\n", True), ("n\n", False)])
def test_delete_does_as_answered(uploaded, loupe, monkeypatch, answer, is_deleted):
    import io

    stdin = io.StringIO(answer)
    stdin.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", stdin)
    done = loupe("kubeflow", "delete", "version", "git-1")
    assert "This deletes version 'git-1' of pipeline 'loupe'" in done.text
    assert (not uploaded.versions) is is_deleted
    assert (done.code == 0) is is_deleted


@pytest.mark.parametrize("kind", ["run", "schedule", "version"])
def test_delete_of_what_is_not_there_is_refused(uploaded, loupe, kind):
    refused = loupe("kubeflow", "delete", kind, "nothing", "--yes")
    assert refused.code == ConfigError.exit_code
    assert "nothing" in refused.text
    assert uploaded.changes() == []
