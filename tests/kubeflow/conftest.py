"""One replayed cluster for all tests, with the runs that the slow tests look at."""

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from replay import KUBEFLOW_2_5, KUBEFLOW_2_17, Replay
from replay_store import local_path

from configs.load import load_config
from configs.types import SampleConfig
from data.synthetic import draw_sample_data

DATA_CLAIM = "loupe-data"
MODELS_CLAIM = "loupe-models"
PIPELINE_ROOTS = {"first": "s3://loupe/artifacts", "second": "minio://mlpipeline/v2/artifacts"}


@dataclass
class Cluster:
    """A replayed cluster, the settings that fit it, and its volumes."""

    replay: Replay
    settings: list
    folder: Path
    volumes: dict

    @functools.cached_property
    def compiled(self):
        """The small pipeline, compiled."""
        return self.compile("loupe")

    def compile(self, name, *settings):
        """Compile the small pipeline with further settings."""
        from pipeline.kubeflow.compile import compile_pipeline, write_compiled

        path = self.folder / f"{name}.yaml"
        config = load_config("kubeflow-smoke", [*self.settings, *settings])
        write_compiled(compile_pipeline(config), path)
        return path

    @property
    def push_folder(self):
        return self.volumes[MODELS_CLAIM] / "loupe"

    def show_data(self, num_images, seed):
        """Put other images behind the same path."""
        folder = self.volumes[DATA_CLAIM]
        shutil.rmtree(folder, ignore_errors=True)
        draw_sample_data(folder, SampleConfig(num_images=num_images, seed=seed))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A cluster with an empty claim for images, another for models, and a compiled pipeline."""
    folder = tmp_path_factory.mktemp("kubeflow")
    volumes = {claim: folder / "volumes" / claim for claim in (DATA_CLAIM, MODELS_CLAIM)}
    for volume in volumes.values():
        volume.mkdir(parents=True)
    data, models = folder / "mnt" / "data", folder / "mnt" / "models"
    settings = [
        f"kubeflow.data={{claim: {DATA_CLAIM}, path: {data}}}",
        f"kubeflow.data_root={data}",
        f"kubeflow.models={{claim: {MODELS_CLAIM}, path: {models}}}",
        f"push.folder={models}/loupe",
        "train.batch_size=16",
        "tune={enabled: true, max_trials: 1, epochs: 1}",
    ]
    return Cluster(Replay(folder / "cluster", volumes=volumes), settings, folder, volumes)


@pytest.fixture(scope="session")
def first_run(cluster):
    """A run on an empty cluster, on the oldest Kubeflow that is supported."""
    cluster.show_data(num_images=120, seed=7)
    return cluster.replay.run(
        cluster.compiled,
        {"data_version": "first"},
        pipeline_root=PIPELINE_ROOTS["first"],
        version=KUBEFLOW_2_5,
    )


def run_second(cluster):
    """The run that the cache answers when it comes again."""
    return cluster.replay.run(
        cluster.compiled,
        {"data_version": "second"},
        pipeline_root=PIPELINE_ROOTS["second"],
        version=KUBEFLOW_2_17,
    )


@pytest.fixture(scope="session")
def second_run(cluster, first_run):
    """A run after it with more data behind the same path, on the newest Kubeflow."""
    assert first_run.state == "SUCCEEDED"
    cluster.show_data(num_images=140, seed=8)
    return run_second(cluster)


@pytest.fixture(scope="session")
def third_run(cluster, second_run):
    """The second run once more."""
    assert second_run.state == "SUCCEEDED"
    return run_second(cluster)


@pytest.fixture(scope="session")
def refused_run(cluster, third_run):
    """The same run with a model server that does not start."""
    assert third_run.state == "SUCCEEDED"
    return cluster.replay.run(
        cluster.compile("refused", "infra.server_command=false"),
        {"data_version": "second"},
        pipeline_root=PIPELINE_ROOTS["second"],
        version=KUBEFLOW_2_17,
    )


@pytest.fixture(scope="session")
def run_without_baseline(cluster, third_run):
    """The same run with another Evaluator, after the copy of the baseline was deleted."""
    uri = third_run.tasks["LastBlessedModel"].execution.artifacts["model"].uri
    copy = local_path(uri, cluster.replay.bucket.folder)
    hidden = copy.rename(cluster.folder / "hidden")
    try:
        return cluster.replay.run(
            cluster.compile("forgotten", "evaluation.min_change=-0.9"),
            {"data_version": "second"},
            pipeline_root=PIPELINE_ROOTS["second"],
            version=KUBEFLOW_2_17,
        )
    finally:
        hidden.rename(copy)
