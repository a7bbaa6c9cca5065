import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from kfp.pipeline_spec import pipeline_spec_pb2

from configs.errors import StageError
from pipeline.kubeflow.contract import (
    Places,
    delocalize,
    local_path,
    localize,
    parse_messages,
    require_inputs,
    unlink_outputs,
)

ROOT = Path("/pod")
MODEL_TYPE = "title: tfx.Model\ntype: object\n"

names = st.text("abcdefgh-_.0123456789", min_size=1, max_size=12).filter(
    lambda name: name.strip(".") != ""
)
uris = st.builds(
    lambda scheme, parts: scheme + "/".join(parts),
    st.sampled_from(["gs://", "s3://", "minio://"]),
    st.lists(names, min_size=2, max_size=5),
)


def message(inputs=(), outputs=(), output_name=""):
    """What the driver sends; inputs are (key, uri, metadata), outputs (key, uri)."""
    return json_format.ParseDict(
        {
            "inputs": {
                "artifacts": {
                    key: {
                        "artifacts": [
                            {
                                "name": "7",
                                "uri": uri,
                                "type": {"instanceSchema": ""},
                                "metadata": metadata,
                            }
                        ]
                    }
                    for key, uri, metadata in inputs
                }
            },
            "outputs": {
                "artifacts": {
                    key: {
                        "artifacts": [
                            {
                                "name": output_name,
                                "uri": uri,
                                "type": {"instanceSchema": MODEL_TYPE},
                            }
                        ]
                    }
                    for key, uri in outputs
                },
                "outputFile": "/tmp/kfp_outputs/output_metadata.json",
            },
        },
        pipeline_spec_pb2.ExecutorInput(),
    )


def spec(*keys):
    return json_format.ParseDict(
        {"artifacts": {key: {"artifactType": {"instanceSchema": MODEL_TYPE}} for key in keys}},
        pipeline_spec_pb2.ComponentInputsSpec(),
    )


def only(artifacts, key):
    (artifact,) = artifacts[key].artifacts
    return artifact


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("gs://bucket/a/b", "/gcs/bucket/a/b"),
        ("s3://bucket/a", "/s3/bucket/a"),
        ("minio://mlpipeline/v2/artifacts", "/minio/mlpipeline/v2/artifacts"),
        ("/models/loupe/3", "/models/loupe/3"),
        ("https://example.test/a", "https://example.test/a"),
    ],
)
def test_local_places_are_those_of_the_launcher(uri, path):
    assert local_path(uri, Path("/")) == path


@given(uri=uris, rest=names)
def test_a_local_path_leads_back_to_its_uri(uri, rest):
    local = local_path(uri, ROOT)
    places = Places({local: uri})
    assert places.to_remote(local) == uri
    assert places.to_remote(f"{local}/{rest}") == f"{uri}/{rest}"
    assert places.to_remote([{"where": f"see {local}"}]) == [{"where": f"see {uri}"}]


@given(uri=uris)
def test_one_place_inside_another_or_beside_it_is_not_mixed_up(uri):
    longer, below = f"{uri}_run", f"{uri}/below"
    places = Places({local_path(u, ROOT): u for u in (uri, longer, below)})
    for each in (uri, longer, below):
        assert places.to_remote(local_path(each, ROOT)) == each


def test_inputs_get_the_types_that_were_compiled():
    executor_input = message([("model", "s3://b/model", {})])
    localize(executor_input, spec("model"), ROOT)
    artifact = only(executor_input.inputs.artifacts, "model")
    assert artifact.type.instance_schema == MODEL_TYPE
    assert artifact.uri == "/pod/s3/b/model"
    assert artifact.name == "7"


def test_an_input_without_a_compiled_type_is_told():
    executor_input = message([("model", "s3://b/model", {})])
    with pytest.raises(StageError, match=r"input 'model' is not among .*\['examples'\].*spec 2.1"):
        localize(executor_input, spec("examples"), ROOT)


def test_metadata_loses_the_wrapping_of_ml_metadata():
    metadata = {
        "splits": {"list": ["train", "test"]},
        "facts": {"struct": {"a": {"list": [1]}}},
        "two_keys": {"list": [1], "struct": {}},
        "blessed": 1.0,
        "text": "t",
    }
    executor_input = message([("model", "s3://b/model", metadata)])
    localize(executor_input, spec("model"), ROOT)
    artifact = only(executor_input.inputs.artifacts, "model")
    assert json_format.MessageToDict(artifact.metadata) == {
        **metadata,
        "splits": ["train", "test"],
        "facts": {"a": {"list": [1]}},
    }


def test_the_launchers_log_is_no_output_of_the_stage():
    executor_input = message(outputs=[("model", "gs://b/model"), ("executor-logs", "gs://b/logs")])
    localize(executor_input, spec(), ROOT)
    assert list(executor_input.outputs.artifacts) == ["model"]


@pytest.mark.parametrize(("sent", "name"), [("", "model"), ("model", "model")])
def test_outputs_are_named_before_and_after_version_2_15(sent, name):
    executor_input = message(outputs=[("model", "gs://b/model")], output_name=sent)
    localize(executor_input, spec(), ROOT)
    assert only(executor_input.outputs.artifacts, "model").name == name


def test_only_a_baseline_that_was_not_copied_is_left_out(tmp_path):
    inputs = [(key, f"s3://b/{key}", {}) for key in ("model", "baseline_model", "infra_blessing")]
    executor_input = message(inputs)
    localize(executor_input, spec("model", "baseline_model", "infra_blessing"), tmp_path)
    assert set(executor_input.inputs.artifacts) == {"model", "infra_blessing"}
    (tmp_path / "s3" / "b" / "baseline_model").mkdir(parents=True)
    executor_input = message(inputs)
    localize(executor_input, spec("model", "baseline_model", "infra_blessing"), tmp_path)
    assert "baseline_model" in executor_input.inputs.artifacts


def test_a_baseline_that_got_lost_is_not_taken_for_none(tmp_path):
    metadata = {"baseline_version": "1795293368"}
    executor_input = message([("baseline_model", "s3://b/baseline", metadata)])
    with pytest.raises(
        StageError,
        match=r"a copy of version 1795293368, is not at s3://b/baseline any more.*cache=off",
    ):
        localize(executor_input, spec("baseline_model"), tmp_path)
    (tmp_path / "s3" / "b" / "baseline").mkdir(parents=True)
    executor_input = message([("baseline_model", "s3://b/baseline", metadata)])
    localize(executor_input, spec("baseline_model"), tmp_path)
    assert "baseline_model" in executor_input.inputs.artifacts


def test_an_input_whose_files_were_deleted_is_told_with_its_place(tmp_path):
    inputs = [(key, f"s3://b/{key}", {}) for key in ("model", "examples", "pushed_model")]
    keys = ("model", "examples", "pushed_model")
    (tmp_path / "s3" / "b" / "model").mkdir(parents=True)
    executor_input = message(inputs)
    places = localize(executor_input, spec(*keys), tmp_path)
    with pytest.raises(
        StageError,
        match=r"object store of examples, expected files below s3://b/examples: .*--data-version",
    ):
        require_inputs(executor_input, places)
    (tmp_path / "s3" / "b" / "examples").mkdir()
    require_inputs(executor_input, places)


def test_answers_name_remote_places_and_hold_no_nulls():
    output = json_format.ParseDict(
        {
            "artifacts": {
                "blessing": {
                    "artifacts": [
                        {
                            "uri": "/pod/s3/b/blessing",
                            "metadata": {
                                "current_model": "/pod/s3/b/model",
                                "baseline_model": None,
                                "nested": {"paths": ["/pod/s3/b/model/x", None], "gone": None},
                                "pushed_destination": "/models/loupe/3",
                                "blessed": 1.0,
                            },
                        }
                    ]
                }
            }
        },
        pipeline_spec_pb2.ExecutorOutput(),
    )
    remote = {"/pod/s3/b/model": "s3://b/model", "/pod/s3/b/blessing": "s3://b/blessing"}
    delocalize(output, Places(remote))
    artifact = only(output.artifacts, "blessing")
    assert artifact.uri == "s3://b/blessing"
    assert json_format.MessageToDict(artifact.metadata) == {
        "current_model": "s3://b/model",
        "nested": {"paths": ["s3://b/model/x"]},
        "pushed_destination": "/models/loupe/3",
        "blessed": 1.0,
    }


def test_a_link_among_the_outputs_goes_and_what_it_leads_to_stays(tmp_path):
    version = tmp_path / "models" / "3"
    version.mkdir(parents=True)
    link = tmp_path / "s3" / "b" / "pushed_model"
    link.parent.mkdir(parents=True)
    link.symlink_to(version)
    executor_input = message(outputs=[("pushed_model", str(link))])
    unlink_outputs(executor_input)
    assert not link.is_symlink()
    assert version.is_dir()


@pytest.mark.parametrize("text", ["", "{", '{"inputs": 3}', "null"])
def test_a_message_that_cannot_be_read_is_told_with_the_versions_that_can(text):
    with pytest.raises(StageError, match=r"ExecutorInput .* cannot be read: .*2\.5 to 2\.17"):
        parse_messages(text, "{}")


def test_fields_of_a_later_kubeflow_are_passed_over():
    executor_input, _ = parse_messages(json.dumps({"inputs": {"new_things": {"a": 1}}}), "{}")
    assert not executor_input.inputs.artifacts
