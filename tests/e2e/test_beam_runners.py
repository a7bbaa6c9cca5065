"""The Beam stages on portable runners, whose workers are processes that share only files with them.

Flink needs Java, and Maven for its job server. Prism is Beam's own portable runner in Go. Beam's
job service in Python comes with Beam, so that something portable runs everywhere.
"""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import json_format, text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.channel_utils import as_channel as channel

from benchmarks.flink_job_server import job_server_jar, running_job_server
from benchmarks.images_60k import make_images
from components.beam_args import beam_args
from components.evaluator.component import build_evaluator, eval_config
from components.evaluator.executor import Executor
from components.evaluator.report import read_report
from configs.errors import EnvironmentSetupError
from configs.load import load_config
from configs.types import EvaluationConfig
from schema.features import Split

ROOT = Path(__file__).resolve().parents[2]
STAGES = [sys.executable, "-m", "benchmarks.beam_stages", "--config", "smoke"]
PLUGIN = "--beam_plugins=components.example_gen.reader"
PORTABLE = ("--sdk_container_image=unused", PLUGIN, "--environment_type=EXTERNAL")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = make_images(tmp_path_factory.mktemp("small") / "shapes", 400)
    image = next((folder / "train" / "disc").iterdir())
    (folder / "train" / "disc" / "half.jpg").write_bytes(image.read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def pool():
    """Address of a worker pool."""
    process = subprocess.Popen(
        [sys.executable, "-m", "components.beam_worker_pool", "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield re.fullmatch(r"listening on (\S+)\n", process.stdout.readline()).group(1)
    process.terminate()
    process.wait(30)
    process.stdout.close()


def run_stages(images, workspace, *settings):
    options = [part for setting in settings for part in ("--set", setting)]
    done = subprocess.run(
        [*STAGES, "--data", str(images), "--workspace", str(workspace), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return workspace / "artifacts"


@pytest.fixture(scope="module")
def direct(tmp_path_factory, images):
    return run_stages(images, tmp_path_factory.mktemp("direct"))


@pytest.fixture(scope="module")
def flink(tmp_path_factory):
    """A job server with a small Flink inside: its jar, and where it listens."""
    folder = tmp_path_factory.mktemp("flink")
    try:
        jar = job_server_jar(folder)
    except EnvironmentSetupError as error:
        pytest.skip(str(error))
    with running_job_server(jar, folder) as address:
        yield jar, address


def portable_settings(pool, _request):
    flags = ["--job_endpoint=embed", f"--environment_config={pool}", *PORTABLE]
    return ["beam.runner=PortableRunner", f"beam.extra_args={json.dumps(flags)}"]


def prism_settings(pool, _request):
    binary = shutil.which("prism")
    if binary is None:
        pytest.skip("no 'prism' on PATH: Beam's portable runner in Go")
    flags = [f"--prism_location={binary}", f"--environment_config={pool}", *PORTABLE]
    return ["beam.runner=PrismRunner", f"beam.extra_args={json.dumps(flags)}"]


def flink_settings(pool, request):
    jar, address = request.getfixturevalue("flink")
    return [
        "beam.runner=FlinkRunner",
        f"beam.flink.version={jar.flink_version}",
        f"beam.flink.job_server={address}",
        "beam.flink.environment=EXTERNAL",
        f"beam.flink.worker={pool}",
        "beam.flink.parallelism=2",
    ]


def artifact_files(root, stage, output, pattern):
    (folder,) = (root / stage / output).iterdir()
    files = sorted(folder.glob(pattern))
    assert files, (folder, pattern)
    return files


def records(root, stage, output, split):
    paths = artifact_files(root, stage, output, f"Split-{split}/*")
    return [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in paths])]


def examples(root, stage, output, split):
    """Examples in no order; the features of each have none either."""
    found = map(tf.train.Example.FromString, records(root, stage, output, split))
    return sorted(example.SerializeToString(deterministic=True) for example in found)


def statistics(root, split):
    """Statistics by slice and feature. The last bits of a deviation follow the order of sums."""
    (path,) = artifact_files(root, "StatisticsGen", "statistics", f"Split-{split}/*")
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
    return {
        dataset.name: (
            dataset.num_examples,
            {feature.path.step[0]: rounded(feature) for feature in dataset.features},
        )
        for dataset in found.datasets
    }


def rounded(message):
    return re.sub(r"\d+\.\d{12,}", lambda found: f"{float(found[0]):.9g}", str(message))


def graph(root):
    """The graph, without the running numbers in the names of its functions."""
    (path,) = artifact_files(root, "Transform", "transform_graph", "transform_fn/saved_model.pb")
    (meta,) = saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs

    def text(message):
        return re.sub(r"_\d{3,}(?!\d)", "_N", text_format.MessageToString(message))

    functions = sorted(map(text, meta.graph_def.library.function))
    return [text(node) for node in meta.graph_def.node], functions


def read_all(root, stage, output, pattern):
    return [path.read_bytes() for path in artifact_files(root, stage, output, pattern)]


@pytest.mark.parametrize("settings", [portable_settings, prism_settings, flink_settings])
def test_a_portable_runner_makes_what_the_direct_runner_makes(
    settings, pool, images, direct, tmp_path, request
):
    theirs = run_stages(images, tmp_path, *settings(pool, request))
    for split in Split:
        raw = ("ExampleGen", "examples", split)
        assert examples(theirs, *raw) == examples(direct, *raw)
        assert statistics(theirs, split) == statistics(direct, split)
    for stage, output, pattern in (
        ("ExampleGen", "examples", "*.json*"),
        ("SchemaGen", "schema", "*"),
        ("Transform", "transform_graph", "*metadata/*"),
    ):
        assert read_all(theirs, stage, output, pattern) == read_all(direct, stage, output, pattern)
    assert b"half.jpg" in read_all(theirs, "ExampleGen", "examples", "quarantine.jsonl")[0]
    assert graph(theirs) == graph(direct)
    for split in (Split.TRAIN, Split.VALIDATION):
        transformed = ("Transform", "transformed_examples", split)
        assert examples(theirs, *transformed) == examples(direct, *transformed)


def evaluate(workspace, folder, settings):
    """What the Evaluator says of the run's model, with the model itself as its baseline."""

    def newest(artifact, stage, output):
        artifact.uri = str(max((workspace / "artifacts" / stage / output).iterdir()))
        return artifact

    examples = newest(standard_artifacts.Examples(), "ExampleGen", "examples")
    examples.split_names = artifact_utils.encode_split_names(list(Split))
    model = newest(standard_artifacts.Model(), "Trainer", "model")
    evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
    for artifact, name in ((evaluation, "evaluation"), (blessing, "blessing")):
        artifact.uri = str(folder / name)
        (folder / name).mkdir(parents=True)
    node = build_evaluator(
        EvaluationConfig(),
        examples=channel([examples]),
        model=channel([model]),
        baseline=channel([model]),
    )
    flags = [*beam_args(load_config(overrides=settings).beam)]
    flags += node.executor_spec.beam_pipeline_args
    context = Executor.Context(
        beam_pipeline_args=flags, tmp_dir=str(folder / "temporary"), unique_id="1"
    )
    Executor(context).Do(
        {"examples": [examples], "model": [model], "baseline_model": [model]},
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            "eval_config": json_format.MessageToJson(eval_config(EvaluationConfig())),
            "example_splits": json.dumps([Split.TEST]),
        },
    )
    return read_report(Path(evaluation.uri))


def figures(values, prefix=""):
    """Every number below a dictionary, by its path."""
    found = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= figures(value, f"{prefix}{name}/")
        elif isinstance(value, float):
            found[prefix + name] = value
    return found


@pytest.mark.parametrize("settings", [portable_settings, prism_settings, flink_settings])
def test_the_evaluator_says_the_same_on_a_portable_runner(
    settings, pool, first_run, tmp_path, request
):
    workspace = first_run.workspace
    theirs = evaluate(workspace, tmp_path / "portable", settings(pool, request))
    ours = evaluate(workspace, tmp_path / "direct", [])
    assert theirs.is_blessed is ours.is_blessed
    assert theirs.slices.keys() == ours.slices.keys()
    # The model is asked for other batches, whose float32 answers may differ in the last bit.
    assert figures(asdict(theirs)) == pytest.approx(figures(asdict(ours)), abs=1e-6)
