"""The nodes around the last blessed model, over folders of real SavedModels."""

import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.components.base import base_executor
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils
from tfx.types import standard_artifacts

from components.blessed.executors import (
    LastBlessedModelExecutor,
    LastBlessedVersionExecutor,
    PromoteExecutor,
)
from components.pusher.versions import publish
from configs.errors import StageError


class Doubler(tf.Module):
    """A model that is small, and a SavedModel all the same."""

    def __init__(self, factor):
        super().__init__()
        self.factor = tf.Variable(float(factor))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, numbers):
        return self.factor * numbers


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Function of a factor to the Model artifact of a Trainer, the same one each time."""
    made = {}

    def train(factor):
        if factor not in made:
            artifact = standard_artifacts.Model()
            artifact.uri = str(tmp_path_factory.mktemp(f"trained-{factor}"))
            tf.saved_model.save(Doubler(factor), f"{artifact.uri}/Format-Serving")
            artifact.set_string_custom_property("tfx_version", "1.21.0")
            made[factor] = artifact
        return made[factor]

    return train


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "models" / "loupe")


def run(executor_class, inputs, outputs, **exec_properties):
    executor = executor_class(base_executor.BaseExecutor.Context())
    executor.Do(
        {name: [artifact] for name, artifact in inputs.items()},
        {name: [artifact] for name, artifact in outputs.items()},
        exec_properties,
    )


def push(model, folder):
    pushed = standard_artifacts.PushedModel()
    version, _ = publish(Path(model.uri) / "Format-Serving", folder, lambda *_: None)
    pushed.set_int_custom_property("pushed", 1)
    pushed.set_string_custom_property("pushed_version", str(version))
    return pushed, version


def promote(model, folder):
    pushed, version = push(model, folder)
    run(PromoteExecutor, {"pushed_model": pushed, "model": model}, {}, folder=folder)
    return version


def baseline_version(candidate, folder, tmp_path):
    output = standard_artifacts.String()
    output.uri = str(tmp_path / "version")
    run(LastBlessedVersionExecutor, {"model": candidate}, {"version": output}, folder=folder)
    return output.read()


def fetch(version, folder, target):
    output = standard_artifacts.Model()
    output.uri = str(target)
    run(LastBlessedModelExecutor, {}, {"model": output}, folder=folder, version=version)
    # What tells a baseline that got lost on its way to the Evaluator from none.
    assert output.get_string_custom_property("baseline_version") == version
    return target


def test_the_first_model_has_no_baseline_and_nothing_is_fetched(trained, folder, tmp_path):
    assert baseline_version(trained(2), folder, tmp_path) == ""
    assert not fetch("", folder, tmp_path / "baseline").exists()


def test_the_next_model_is_compared_with_the_one_that_was_promoted(trained, folder, tmp_path):
    version = promote(trained(2), folder)
    found = baseline_version(trained(3), folder, tmp_path)
    assert found == str(version)
    target = fetch(found, folder, tmp_path / "baseline")
    loaded = tf.saved_model.load(str(target / "Format-Serving"))
    assert loaded(tf.constant([1.0, 2.0])).numpy().tolist() == [2.0, 4.0]


def test_a_version_that_was_deleted_since_it_was_found_ends_the_stage(trained, folder, tmp_path):
    version = promote(trained(2), folder)
    shutil.rmtree(f"{folder}/{version}")
    with pytest.raises(StageError, match=f"baseline '.*/{version}' has no saved_model.pb.*again"):
        fetch(str(version), folder, tmp_path / "baseline")


def test_a_repeated_run_keeps_the_baseline_it_had(trained, folder, tmp_path):
    first = promote(trained(2), folder)
    assert baseline_version(trained(3), folder, tmp_path) == str(first)
    promote(trained(3), folder)
    # The same candidate again: not compared with itself, so that everything after is cached.
    assert baseline_version(trained(3), folder, tmp_path) == str(first)


def test_a_model_that_was_not_pushed_is_no_baseline(trained, folder, tmp_path):
    promote(trained(2), folder)
    refused = standard_artifacts.PushedModel()
    refused.set_int_custom_property("pushed", 0)
    run(PromoteExecutor, {"pushed_model": refused, "model": trained(3)}, {}, folder=folder)
    assert baseline_version(trained(2), folder, tmp_path) == ""


def test_metadata_that_comes_back_as_json_is_understood(trained, folder, tmp_path):
    # As TFX's entry point for Kubeflow reads it: numbers are floats.
    _, version = push(trained(2), folder)
    text = json.dumps({
        "artifacts": {
            "pushed_model": {
                "artifacts": [
                    {
                        "name": "3",
                        "type": {"instanceSchema": "title: tfx.PushedModel\ntype: object\n"},
                        "metadata": {"pushed": 1.0, "pushed_version": str(version)},
                    }
                ]
            }
        }
    })
    message = json_format.Parse(text, pipeline_spec_pb2.ExecutorInput.Inputs())
    (pushed,) = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(message.artifacts, {})[
        "pushed_model"
    ]
    run(PromoteExecutor, {"pushed_model": pushed, "model": trained(2)}, {}, folder=folder)
    assert baseline_version(trained(3), folder, tmp_path) == str(version)


def test_a_deleted_version_is_no_baseline(trained, folder, tmp_path):
    version = promote(trained(2), folder)
    shutil.rmtree(f"{folder}/{version}")
    assert baseline_version(trained(3), folder, tmp_path) == ""
