"""Which models a config asks for."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from configs.errors import ConfigError
from serving.model_server.config import ModelConfig, models_from_flags, models_from_proto
from serving.model_server.errors import InvalidArgumentError
from serving.model_server.flags import ServerFlags
from serving.model_server.versions import VersionPolicy, VersionPolicyKind


def parse(entry):
    text = f'model_config_list {{ config {{ name: "m" {entry} }} }}'
    return models_from_proto(text_format.Parse(text, model_server_config_pb2.ModelServerConfig()))[
        "m"
    ]


def test_flags_make_one_model():
    flags = ServerFlags(model_name="m", model_base_path="/models/m")
    assert models_from_flags(flags) == {"m": ModelConfig("m", Path("/models/m"))}


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", VersionPolicy()),
        ("model_version_policy { latest { num_versions: 3 } }", VersionPolicy(num_versions=3)),
        ("model_version_policy { all {} }", VersionPolicy(kind=VersionPolicyKind.ALL)),
        (
            "model_version_policy { specific { versions: 2 versions: 5 } }",
            VersionPolicy(kind=VersionPolicyKind.SPECIFIC, versions=frozenset({2, 5})),
        ),
    ],
)
def test_policies_of_a_config_file(text, policy):
    assert parse(f'base_path: "/m" model_platform: "tensorflow" {text}').policy == policy


def test_labels_and_the_old_type_field():
    config = parse('base_path: "/m" model_type: TENSORFLOW version_labels { key: "a" value: 4 }')
    assert config.labels == {"a": 4}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('base_path: "/m"', "Illegal setting neither ModelServerConfig::model_type"),
        (
            'base_path: "/m" model_platform: "tensorflow" model_type: TENSORFLOW',
            "Illegal setting both ModelServerConfig::model_type",
        ),
        ('base_path: "/m" model_platform: "onnx"', "requests unsupported platform onnx"),
        ('base_path: "m" model_platform: "tensorflow"', "to have an absolute path or URI"),
        ('base_path: "gs://b/m" model_platform: "tensorflow"', "reads local folders only"),
        (
            'base_path: "/m" model_platform: "tensorflow" logging_config {}',
            "this server writes no request logs",
        ),
    ],
)
def test_configs_that_cannot_be_honoured(entry, message):
    with pytest.raises(InvalidArgumentError) as caught:
        parse(entry)
    assert message in str(caught.value)


def test_config_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: .*No such file"):
        models_from_flags(ServerFlags(model_config_file=str(tmp_path / "none")))
    file = tmp_path / "bad"
    file.write_text("model_config_list { config { nme: 'x' } }")
    with pytest.raises(
        ConfigError, match=r"Error parsing text-format tensorflow\.serving\.ModelServ"
    ):
        models_from_flags(ServerFlags(model_config_file=str(file)))
