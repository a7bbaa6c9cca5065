"""ExampleGen alone, as a task on Kubeflow runs it: nobody looked at the data before."""

import shutil

import pytest
from tfx.dsl.components.base import base_beam_executor
from tfx.types import standard_artifacts

from components.example_gen.executor import Executor
from components.example_gen.report import read_report
from configs.load import part_to_json
from configs.types import DataConfig, SampleConfig
from data.synthetic import draw_sample_data


@pytest.fixture(scope="module")
def spans(tmp_path_factory):
    """Three spans of the same drawn images."""
    drawn = draw_sample_data(
        tmp_path_factory.mktemp("drawn") / "d", SampleConfig(num_images=60, seed=3)
    )
    folder = tmp_path_factory.mktemp("data") / "spans"
    for number in (2, 7, 11):
        shutil.copytree(drawn, folder / f"span-{number}")
    return folder


def ingest(data_root, folder, **settings):
    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "examples")
    folder.mkdir()
    config = DataConfig(min_images_per_class=1, test_share=0.3, validation_share=0.3, **settings)
    context = base_beam_executor.BaseBeamExecutor.Context(
        beam_pipeline_args=["--runner=DirectRunner", "--direct_running_mode=in_memory"],
        tmp_dir=str(folder / "temporary"),
        unique_id="1",
    )
    Executor(context).Do(
        {},
        {"examples": [examples]},
        {"data_root": data_root, "data_version": "1", "config": part_to_json(config)},
    )
    return read_report(folder / "examples")


@pytest.mark.parametrize(("newest", "found"), [(0, [2, 7, 11]), (7, [2, 7])])
def test_spans_are_found_when_the_stage_runs(spans, tmp_path, newest, found):
    assert ingest(str(spans), tmp_path / "run", span=newest).spans == found


def test_a_bucket_is_read_like_its_folder(spans, tmp_path, storage):
    photos = tmp_path / "photos"
    shutil.copytree(spans / "span-7", photos / "span-7")
    whole = next(photos.rglob("*.jpg"))
    whole.with_name("half.jpg").write_bytes(whole.read_bytes()[:300])
    storage.fill("b", photos, prefix="photos/")
    theirs = ingest("gs://b/photos", tmp_path / "bucket")
    assert theirs == ingest(str(photos), tmp_path / "folder")
    assert (theirs.num_quarantined, theirs.spans) == (1, [7])
    records = [
        sorted((tmp_path / name / "examples").glob("*/data_tfrecord-*"))
        for name in ("bucket", "folder")
    ]
    assert [path.read_bytes() for path in records[0]] == [path.read_bytes() for path in records[1]]


def test_an_archive_is_read_like_its_folder(spans, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "photos"), "tar", spans / "span-2")
    assert ingest(archive, tmp_path / "run").num_images == 60
