"""The whole pipeline as Kubeflow would run it, three times."""

import json

from configs.kubeflow import NEVER_CACHED, STAGES


def last_words(run):
    return {name: task.log[-2000:] for name, task in run.tasks.items() if task.state == "FAILED"}


def last_line(task):
    """What the stage said last; one line of the launcher comes after it."""
    return task.log.splitlines()[-2]


def artifact(run, task, key):
    return run.tasks[task].execution.artifacts[key]


def evaluation(cluster, run):
    """The Evaluator's report, read from the object store."""
    from replay_store import local_path

    from components.evaluator.report import read_report

    uri = artifact(run, "Evaluator", "evaluation").uri
    return read_report(local_path(uri, cluster.replay.bucket.folder))


def versions(cluster):
    return sorted(int(p.name) for p in cluster.push_folder.iterdir() if p.name.isdigit())


def test_the_first_run_passes_without_a_baseline(cluster, first_run):
    assert first_run.state == "SUCCEEDED", last_words(first_run)
    assert set(first_run.tasks) == set(STAGES)
    assert first_run.cached == set()
    assert evaluation(cluster, first_run).baseline_metrics == {}
    blessing = artifact(first_run, "Evaluator", "blessing").properties
    assert blessing["blessed"] == 1.0
    assert "baseline_model" not in blessing


def test_the_first_run_pushes_a_version_and_promotes_it(cluster, first_run, second_run):
    first = int(artifact(first_run, "Pusher", "pushed_model").properties["pushed_version"])
    assert versions(cluster)[0] == first
    manifest = json.loads((cluster.push_folder / str(first) / "manifest.json").read_text())
    assert manifest["num_images"] == 120
    assert manifest["infra"]["num_requests"] > 0
    pointer = json.loads((cluster.push_folder / ".blessed.json").read_text())
    second = int(artifact(second_run, "Pusher", "pushed_model").properties["pushed_version"])
    assert [row["version"] for row in pointer["blessed"]] == [second, first]


def test_new_data_behind_the_same_path_runs_again_from_example_gen(cluster, second_run):
    assert second_run.state == "SUCCEEDED", last_words(second_run)
    assert second_run.cached == set()
    report = evaluation(cluster, second_run)
    assert report.metrics != report.baseline_metrics


def test_the_second_run_is_measured_against_the_first(cluster, first_run, second_run):
    assert evaluation(cluster, second_run).baseline_metrics
    blessing = artifact(second_run, "Evaluator", "blessing").properties
    baseline = artifact(second_run, "LastBlessedModel", "model")
    candidate = artifact(second_run, "Trainer", "model")
    assert blessing["baseline_model"] == baseline.uri
    assert blessing["baseline_model_id"] == str(baseline.id)
    assert blessing["current_model"] == candidate.uri
    assert blessing["current_model_id"] == str(candidate.id)
    first = artifact(first_run, "Pusher", "pushed_model").properties["pushed_version"]
    assert (
        second_run.tasks["LastBlessedVersion"].execution.parameters["version"].string_value == first
    )


def test_the_same_run_again_is_answered_from_the_cache(cluster, second_run, third_run):
    assert third_run.state == "SUCCEEDED", last_words(third_run)
    assert third_run.cached == set(STAGES) - set(NEVER_CACHED)
    second = artifact(second_run, "Pusher", "pushed_model").properties["pushed_version"]
    assert versions(cluster)[-1] == int(second)
    assert len(versions(cluster)) == 2


def test_a_model_that_could_not_be_served_ends_the_run_and_is_not_pushed(cluster, refused_run):
    assert refused_run.state == "FAILED"
    assert list(refused_run.tasks)[-1] == "InfraValidator"
    refusal = refused_run.tasks["InfraValidator"]
    assert refusal.exit_code == 5
    assert "StageError: the model is refused, and nothing is pushed: " in last_line(refusal)
    assert len(versions(cluster)) == 2
    pointer = json.loads((cluster.push_folder / ".blessed.json").read_text())
    assert len(pointer["blessed"]) == 2


def test_a_baseline_that_the_bucket_forgot_ends_the_run(cluster, run_without_baseline):
    assert run_without_baseline.state == "FAILED"
    assert {"Trainer", "LastBlessedModel"} <= run_without_baseline.cached
    (failed,) = (t for t in run_without_baseline.tasks.values() if t.state == "FAILED")
    assert failed.name == "Evaluator"
    assert "StageError: the baseline, a copy of version" in last_line(failed)


def test_nothing_in_the_metadata_names_a_place_inside_a_pod(cluster, third_run):
    for recorded in cluster.replay.metadata.artifacts:
        assert recorded.uri.startswith(("s3://loupe/", "minio://mlpipeline/"))
        assert "-pod" not in json.dumps(recorded.properties)


def test_types_survive_though_the_driver_forgets_them(cluster, second_run):
    assert artifact(second_run, "Trainer", "model").type_name == "tfx.Model"
    assert artifact(second_run, "ExampleGen", "examples").type_name == "tfx.Examples"
    assert json.loads(artifact(second_run, "ExampleGen", "examples").properties["split_names"])


def test_a_pushed_model_is_not_uploaded_once_more(cluster, second_run):
    from replay_store import local_path

    uri = artifact(second_run, "Pusher", "pushed_model").uri
    assert not local_path(uri, cluster.replay.bucket.folder).exists()


def test_every_task_leaves_its_log_in_the_object_store(cluster, first_run, second_run):
    from replay_store import local_path

    for run in (first_run, second_run):
        for name in run.tasks:
            uri = artifact(run, name, "executor-logs").uri
            log = local_path(uri, cluster.replay.bucket.folder).read_text()
            assert "starts" in log
            assert "Traceback" not in log
