"""What a refusal does; models that pass are tried by whole runs."""

import pytest
import tensorflow as tf
from tfx.dsl.components.base import base_executor
from tfx.types import standard_artifacts

from components.infra_validator.executor import Executor
from components.infra_validator.report import REASON_PROPERTY
from configs.errors import StageError
from configs.load import part_to_json
from configs.types import InfraConfig
from schema.features import IMAGE_ENCODED


def _example(data):
    example = tf.train.Example()
    example.features.feature[IMAGE_ENCODED].bytes_list.value.append(data)
    return example.SerializeToString()


@pytest.fixture
def refuse(tmp_path):
    """Function of `stop_when_refused` to the blessing of a folder that holds no model."""
    model, examples, blessing = (
        standard_artifacts.Model(),
        standard_artifacts.Examples(),
        standard_artifacts.InfraBlessing(),
    )
    for name, artifact in (("model", model), ("examples", examples), ("blessing", blessing)):
        (tmp_path / name).mkdir()
        artifact.uri = str(tmp_path / name)
    (tmp_path / "model" / "Format-Serving").mkdir()
    (tmp_path / "examples" / "Split-test").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "examples" / "Split-test" / "data")) as writer:
        writer.write(_example(b"an image that nobody gets to see"))

    def run(stop_when_refused):
        Executor(base_executor.BaseExecutor.Context()).Do(
            {"model": [model], "examples": [examples]},
            {"blessing": [blessing]},
            {
                "config": part_to_json(InfraConfig()),
                "model_name": "loupe",
                "stop_when_refused": stop_when_refused,
            },
        )
        return blessing

    return run


def test_a_refusal_is_noted_and_its_folder_removed_so_that_it_is_not_reused(refuse, tmp_path):
    blessing = refuse(0)
    assert not blessing.get_int_custom_property("blessed")
    assert "SavedModel file does not exist" in blessing.get_string_custom_property(REASON_PROPERTY)
    assert not (tmp_path / "blessing").exists()


def test_a_refusal_ends_the_run_where_a_cache_would_remember_it(refuse):
    with pytest.raises(StageError, match="is refused, and nothing is pushed: .* does not exist"):
        refuse(1)
