import hashlib
import json
from pathlib import Path

import pytest
import tensorflow as tf

STAGES = [
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Evaluator",
    "InfraValidator",
    "Pusher",
]
BROKEN = {"empty.jpg", "truncated.jpg", "page.jpg"}


@pytest.fixture(scope="module")
def version(first_run, snapshot):
    return Path(first_run.summary["model_dir"])


def test_a_run_pushes_a_version(first_run, version):
    assert first_run.exit_code == 0, first_run.output
    assert first_run.summary["status"] == "pushed"
    assert version == first_run.workspace / "serving" / "loupe" / str(first_run.summary["version"])
    assert [entry.name for entry in version.parent.iterdir()] == [version.name]


def test_every_stage_is_told_in_order_with_its_time(first_run):
    stages = [s for s in first_run.summary["stages"] if s["name"] in STAGES]
    assert [stage["name"] for stage in stages] == STAGES
    assert all(stage["seconds"] > 0 and not stage["cached"] for stage in stages)


def test_a_person_reads_the_version_metrics_and_what_is_next(first_run, version):
    output = " ".join(first_run.output.replace("│", " ").split())
    assert f"Version {version.name} is in" in output
    assert "balanced accuracy" in output
    assert "3 quarantined" in output
    assert "next:" in output


def test_noise_of_other_libraries_stays_in_the_log(first_run):
    for noise in ("WARNING:", "INFO:", "I0000", "absl"):
        assert noise not in first_run.output
    log = Path(first_run.summary["log_file"]).read_text()
    assert "INFO:absl:" in log


def test_broken_files_are_quarantined_with_their_reason(first_run):
    quarantined = {Path(file["source"]).name: file for file in first_run.summary["quarantined"]}
    assert set(quarantined) == BROKEN
    assert "empty" in quarantined["empty.jpg"]["reason"]
    assert "HTML" in quarantined["page.jpg"]["reason"]
    assert "damaged" in quarantined["truncated.jpg"]["reason"]
    assert len(quarantined["truncated.jpg"]["sha256"]) == 64


def test_every_usable_file_became_an_example(first_run, photos):
    files = [path for path in photos.rglob("*") if path.is_file()]
    data = first_run.summary["data"]
    assert data["num_images"] == len(files) - len(BROKEN)
    assert sum(data["images_per_split"].values()) == data["num_images"]


def test_transformed_images_are_counted_over_both_splits(first_run):
    splits = first_run.summary["data"]["images_per_split"]
    wanted = splits["train"] + splits["validation"]  # the test split is evaluated as it came
    assert f"transformed {wanted} images" in first_run.output


def test_the_manifest_tells_every_file_and_where_the_model_comes_from(first_run, version):
    manifest = json.loads((version / "manifest.json").read_text())
    files = {p.relative_to(version).as_posix() for p in version.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == files - {"manifest.json"}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((version / name).read_bytes()).hexdigest() == digest
    assert manifest["metrics"] == first_run.summary["metrics"]
    assert manifest["hyperparameters"]["epochs"] == 6
    assert manifest["spans"] == [1]
    assert manifest["infra"]["num_requests"] == 12
    assert {"schema_sha256", "transform_sha256", "git_commit"} <= set(manifest)


def test_a_version_holds_what_the_contract_says(version, photos):
    names = sorted(path.name for path in photos.iterdir() if path.is_dir())
    assert (version / "assets" / "labels.txt").read_text().splitlines() == names
    decision = json.loads((version / "assets" / "decision.json").read_text())
    assert "review_band" in decision
    records = tf.data.TFRecordDataset(str(version / "assets.extra" / "tf_serving_warmup_requests"))
    assert len(list(records)) == 6
    signatures = set(tf.saved_model.load(str(version)).signatures)
    assert {
        "serving_default",
        "serve_examples",
        "transform_features",
        "serve_pixels",
        "embed",
    } <= signatures


def test_transformed_data_is_small(first_run):
    transform = first_run.workspace / "artifacts" / "Transform" / "transformed_examples"
    num_bytes = sum(path.stat().st_size for path in transform.rglob("*transformed_examples*-of-*"))
    splits = first_run.summary["data"]["images_per_split"]
    assert num_bytes / (splits["train"] + splits["validation"]) <= 13_000


def test_slices_and_classes_are_reported(first_run):
    summary = first_run.summary
    slices = {row["slice"].split(":")[0] for row in summary["slices"]}
    assert slices == {"label", "brightness", "sharpness"}
    assert len(summary["per_class"]) == 10
