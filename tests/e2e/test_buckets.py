"""A whole run whose data and artifacts are in a bucket, as Dataflow's workers need them.

Beam, TensorFlow and Loupe each reach the fake Google Cloud Storage by their own client.
"""

from pathlib import Path

import pytest
import tensorflow as tf

PLACES = ("--data", "gs://shop/products", "--set", "artifacts.folder=gs://shop/artifacts")


@pytest.fixture(scope="module")
def shop(fake_storage, photos):
    storage, variables = fake_storage
    storage.clear()
    storage.fill("shop", photos, prefix="products/")
    return storage, variables


@pytest.fixture(scope="module")
def bucket_run(shop, loupe_run, tmp_path_factory):
    run = loupe_run(tmp_path_factory.mktemp("bucket"), *PLACES, variables=shop[1])
    assert run.exit_code == 0, run.output
    return run


def examples(data):
    """Records of TFRecord files, in no order; features have none either."""
    path = tf.io.gfile.GFile(f"ram://{id(data)}", "wb")
    path.write(data)
    path.close()
    records = tf.data.TFRecordDataset(f"ram://{id(data)}").as_numpy_iterator()
    found = map(tf.train.Example.FromString, records)
    return sorted(example.SerializeToString(deterministic=True) for example in found)


def test_a_run_in_a_bucket_comes_to_what_a_local_run_comes_to(bucket_run, first_run):
    for fact in ("status", "reasons", "per_class", "data", "quarantined", "anomalies"):
        assert bucket_run.summary[fact] == first_run.summary[fact], fact
    # The model is asked for other batches, whose float32 answers may differ in the last bit.
    theirs, ours = bucket_run.summary["metrics"], first_run.summary["metrics"]
    assert theirs["accuracy"] == ours["accuracy"]
    assert theirs == pytest.approx(ours, abs=1e-6)
    assert (Path(bucket_run.summary["model_dir"]) / "saved_model.pb").is_file()
    assert Path(bucket_run.summary["model_dir"]).is_relative_to(bucket_run.workspace)


def test_every_artifact_is_in_the_bucket_and_none_in_the_workspace(bucket_run, shop, first_run):
    assert not (bucket_run.workspace / "artifacts").exists()
    local = first_run.workspace / "artifacts"
    stages = {path.relative_to(local).parts[:2] for path in local.glob("*/*/*")}
    stages = {stage for stage in stages if stage[1] != ".system"}
    names = [name.split("/") for name in shop[0].names("shop") if not name.endswith("/")]
    found = {tuple(parts[1:3]) for parts in names if parts[0] == "artifacts"}
    assert found == stages - {("Pusher", "pushed_model")}  # a link, where there are links
    assert ("Transform", "transformed_examples") in found


@pytest.mark.parametrize(
    ("output", "split"),
    [("ExampleGen/examples", "test"), ("Transform/transformed_examples", "train")],
)
def test_examples_in_the_bucket_are_those_of_a_local_run(
    output, split, bucket_run, shop, first_run
):
    (local,) = (first_run.workspace / "artifacts").glob(f"{output}/*/Split-{split}/*")
    (name,) = [
        name
        for name in shop[0].names("shop")
        if name.startswith(f"artifacts/{output}/") and f"/Split-{split}/" in name
    ]
    assert examples(shop[0].data("shop", name)) == examples(local.read_bytes())


def test_the_next_run_finds_everything_done(bucket_run, shop, loupe_run):
    again = loupe_run(bucket_run.workspace, *PLACES, variables=shop[1])
    names = {stage["name"] for stage in again.summary["stages"]}
    assert again.exit_code == 0
    assert names - again.cached == {"LastBlessedModel"}
    assert again.summary["metrics"] == bucket_run.summary["metrics"]


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (("--data", "gs://nowhere/x"), 4, "'gs://nowhere/x' does not exist: The specified bucket"),
        (("--set", "artifacts.folder=gs://nowhere/x"), 2, "'gs://nowhere/x' cannot be written to"),
    ],
)
def test_a_place_that_is_not_there_is_one_sentence(
    options, exit_code, message, shop, loupe_run, tmp_path
):
    run = loupe_run(tmp_path, *options, variables=shop[1])
    assert run.exit_code == exit_code
    assert message in run.summary["error"]
    assert run.summary["stages"] == []
    assert run.summary["seconds"] < 30


def test_the_fake_knew_everything_that_was_asked(bucket_run, shop):
    assert shop[0].unknown == []
    hosts = {request.host for request in shop[0].requests}
    assert {"storage.googleapis.com", "www.googleapis.com"} <= hosts  # Beam's, and TensorFlow's
