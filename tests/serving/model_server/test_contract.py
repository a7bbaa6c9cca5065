"""What holds for every server that is compatible with TensorFlow Serving.

`SERVER_CMD` names the server to launch, `python -m serving.model_server` when it is not set:

    SERVER_CMD=tensorflow_model_server python -m pytest tests/serving/model_server/test_contract.py

Only flags of tensorflow_model_server are used, and only texts that it has too.
"""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

SERVER_CMD = os.environ.get("SERVER_CMD", "")
Code = grpc.StatusCode
START_SECONDS = 120
HALF = "/v1/models/half"
ZOO = "/v1/models/zoo:predict"

only_ours = pytest.mark.skipif(bool(SERVER_CMD), reason="promised by our own server only")


def config_entry(name, base_path, extra=""):
    return (
        f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" {extra} }}'
    )


def write_config(file, *entries):
    beside = file.with_suffix(".part")
    beside.write_text("model_config_list { " + "\n".join(entries) + " }")
    beside.rename(file)


LABELLED = (
    "model_version_policy { specific { versions: 1 versions: 2 } } "
    'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
)


@pytest.fixture(scope="module")
def models(tmp_path_factory, push, affine_folders, zoo_folder, legacy_folder):
    """Base paths by model name."""
    root = tmp_path_factory.mktemp("contract")
    paths = {name: root / name for name in ("half", "labelled", "swapped", "added", "later")}
    for path in paths.values():
        path.mkdir()
    shutil.copytree(affine_folders[2], paths["half"] / "00000123")
    for name, versions in {
        "labelled": (1, 2),
        "swapped": (1,),
        "added": (3,),
        "later": (1,),
    }.items():
        for version in versions:
            push(paths[name], version)
    return paths | {"zoo": zoo_folder.parent, "legacy": legacy_folder.parent}


@pytest.fixture(scope="module")
def launch_any(launch):
    """Start the server under test with models from a config file."""
    command = {"command": shlex.split(SERVER_CMD)} if SERVER_CMD else {}

    def launch_any(config_file, first_model, *flags):
        running = launch(
            f"--model_config_file={config_file}", "--max_num_load_retries=0", *flags, **command
        )
        with running.client() as client:
            client.wait_until_available(first_model, START_SECONDS, running.is_alive)
        return running

    return launch_any


@pytest.fixture(scope="module")
def config_file(models):
    return models["half"].with_name("models.config")


@pytest.fixture(scope="module")
def server(models, config_file, launch_any):
    """The server under test, not the one of the other modules."""
    entries = [config_entry(name, models[name]) for name in ("half", "swapped", "zoo", "legacy")]
    write_config(config_file, *entries, config_entry("labelled", models["labelled"], LABELLED))
    return launch_any(
        config_file,
        "half",
        "--allow_version_labels_for_unavailable_models",
        "--enable_grpc_healthcheck_service",
        "--rest_api_timeout_in_ms=2000",
    )


@pytest.fixture(scope="module")
def channel(server):
    with server.channel() as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def management(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def make_request(model="half", signature="", version=None, label=None, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


def floats(*values):
    return np.array(values, np.float32)


def offset_of(prediction, model, **selector):
    response = prediction.Predict(make_request(model, x=floats(0), **selector))
    return response.outputs["y"].float_val[0]


# REST


def test_status_lists_version_state_and_error(server):
    ok = {"error_code": "OK", "error_message": ""}
    expected = {"model_version_status": [{"version": "123", "state": "AVAILABLE", "status": ok}]}
    assert server.get(HALF) == (200, expected)
    assert server.get(f"{HALF}/versions/123") == (200, expected)


def test_metadata_shows_signatures_in_proto_names_with_defaults(server):
    status, metadata = server.get(f"{HALF}/metadata")
    assert status == 200
    assert metadata["model_spec"] == {"name": "half", "signature_name": "", "version": "123"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "hold", "__saved_model_init_op"}
    default = signatures["serving_default"]
    assert default["method_name"] == "tensorflow/serving/predict"
    assert default["defaults"] == {}
    x = default["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


def zoo(signature, **body):
    return {"signature_name": signature, **body}


@pytest.mark.parametrize(
    ("path", "body", "reply"),
    [
        (HALF, {"instances": [1.0, 2.0, 5]}, {"predictions": [2.5, 3.0, 4.5]}),
        (HALF, {"instances": [{"x": 1.0}, {"x": 2}]}, {"predictions": [2.5, 3.0]}),
        (HALF, {"inputs": [1.0, 2.0]}, {"outputs": [2.5, 3.0]}),
        (HALF, {"inputs": {"x": [2.0], "surplus": 1}}, {"outputs": [3.0]}),
        (HALF, {"instances": [[1.0, 2.0], [3.0, 4.0]]}, {"predictions": [[2.5, 3], [3.5, 4]]}),
        (HALF, {"inputs": 2.0}, {"outputs": 3.0}),
        (f"{HALF}/versions/123", {"inputs": [2.0]}, {"outputs": [3.0]}),
        ("/v1/models/labelled/labels/stable", {"inputs": [2.0]}, {"outputs": [2.0]}),
        ("/v1/models/labelled/labels/canary", {"inputs": [2.0]}, {"outputs": [3.0]}),
        ("/v1/models/legacy", {"instances": [2.0]}, {"predictions": [4.0]}),
        ("/v1/models/zoo", {"instances": [[1, 2], [3, 4]], "other": 1}, {"predictions": [3.0, 7]}),
        (
            "/v1/models/zoo",
            zoo("pair", instances=[{"a": 1, "b": 2}, {"b": 4, "a": 3}]),
            {"predictions": [{"sum": 3.0, "twice": 4}, {"sum": 7.0, "twice": 8}]},
        ),
        (
            "/v1/models/zoo",
            zoo("pair", inputs={"a": [1], "b": [2]}),
            {"outputs": {"sum": [3.0], "twice": [4]}},
        ),
        (
            "/v1/models/zoo",
            zoo("text", instances=["é", {"b64": "YQ=="}]),
            {"predictions": ["é", "a"]},
        ),
        (
            "/v1/models/zoo",
            zoo("image", instances=[{"b64": "/9j/"}]),
            {"predictions": [{"length": 3, "raw_bytes": {"b64": "/9j/"}}]},
        ),
        (
            "/v1/models/zoo",
            zoo("image", instances=[{"image": {"b64": "AA=="}}]),
            {"predictions": [{"length": 1, "raw_bytes": {"b64": "AA=="}}]},
        ),
    ],
)
def test_predict_answers_in_the_form_of_the_request(server, path, body, reply):
    assert server.post(f"{path}:predict", body) == (200, reply)


def test_numbers_read_back_exactly_and_whole_ones_keep_their_point(server):
    body = b'{"signature_name": "inverse", "instances": [3.0, 10, 1]}'
    status, _, content = server.request("POST", ZOO, body)
    texts = re.findall(rb"[\d.]+", content)
    assert status == 200
    assert [np.float32(text) for text in texts] == [np.float32(1 / 3), np.float32(0.1), 1]
    assert texts[1:] == [b"0.1", b"1.0"]


@pytest.mark.parametrize(
    ("path", "body", "code", "message"),
    [
        (f"{HALF}:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        (f"{HALF}:predict", {"instances": []}, 400, "No values in 'instances' array"),
        (f"{HALF}:predict", {"instances": ["a"]}, 400, "is not of expected type: float"),
        (f"{HALF}:predict", {"instances": [[1, 2], [3]]}, 400, "Expecting tensor size: 2 but got"),
        (f"{HALF}:predict", {"inputs": 1, "signature_name": "none"}, 400, '"none" not found'),
        (f"{HALF}:predict", b"{", 400, "JSON Parse error"),
        ("/v1/models/nobody:predict", b"{", 400, "JSON Parse error"),  # parsed before looked up
        ("/v1/models/nobody:predict", {"inputs": 1}, 404, "Latest(nobody)"),
        (f"{HALF}/versions/7:predict", {"inputs": 1}, 404, "Specific(half, 7)"),
        ("/v1/models/labelled/labels/none:predict", {"inputs": 1}, 400, "label: none"),
        (ZOO, {"inputs": [2], "signature_name": "fail"}, 400, "assertion failed"),
        (f"{HALF}:explain", {"inputs": 1}, 400, f"Malformed request: POST {HALF}:explain"),
    ],
)
def test_bad_posts_get_their_code_and_a_reason(server, path, body, code, message):
    status, reply = server.post(path, body)
    assert (status, list(reply)) == (code, ["error"])
    assert message in reply["error"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models", 400),
        ("/v1/models/nobody", 404),
        (f"{HALF}/versions/9", 404),
        (f"{HALF}/versions/x", 400),
        ("/v1/models/nobody/metadata", 404),
    ],
)
def test_bad_gets_get_their_code(server, path, code):
    status, reply = server.get(path)
    assert (status, list(reply)) == (code, ["error"])


# gRPC


def test_predict_answers_in_typed_fields_and_names_the_version(prediction):
    response = prediction.Predict(make_request(x=floats(1, 2)))
    assert list(response.outputs["y"].float_val) == [2.5, 3.0]
    assert not response.outputs["y"].tensor_content
    assert response.model_spec.name == "half"
    assert response.model_spec.version.value == 123
    assert response.model_spec.signature_name == "serving_default"


def test_one_typed_value_fills_the_shape(prediction):
    request = make_request()
    x = request.inputs["x"]
    x.dtype = tf.float32.as_datatype_enum
    x.tensor_shape.dim.add(size=3)
    x.float_val.append(2.0)
    assert list(prediction.Predict(request).outputs["y"].float_val) == [3.0, 3.0, 3.0]


def test_labels_and_numbers_name_versions(prediction):
    assert offset_of(prediction, "labelled", label="stable") == 1
    assert offset_of(prediction, "labelled", label="canary") == 2
    assert offset_of(prediction, "labelled", version=1) == 1
    assert offset_of(prediction, "labelled") == 2


def test_output_filter_chooses_outputs(prediction):
    request = make_request("zoo", "pair", a=floats(1), b=np.int32([2]))
    request.output_filter.append("twice")
    assert set(prediction.Predict(request).outputs) == {"twice"}


@pytest.mark.parametrize(
    ("request_message", "code"),
    [
        (predict_pb2.PredictRequest(), Code.INVALID_ARGUMENT),
        (make_request("", x=floats(1)), Code.INVALID_ARGUMENT),
        (make_request("labelled", label="none", x=floats(1)), Code.INVALID_ARGUMENT),
        (make_request("nobody", x=floats(1)), Code.NOT_FOUND),
        (make_request(version=7, x=floats(1)), Code.NOT_FOUND),
        (make_request(signature="none", x=floats(1)), Code.FAILED_PRECONDITION),
        (make_request(), Code.INVALID_ARGUMENT),
        (make_request(z=floats(1)), Code.INVALID_ARGUMENT),
        (make_request(x=np.float64([1])), Code.INVALID_ARGUMENT),
        (make_request("zoo", x=floats(1)), Code.INVALID_ARGUMENT),
        (make_request("zoo", "fail", n=np.int32([2])), Code.INVALID_ARGUMENT),
    ],
    ids=lambda value: value.name if isinstance(value, Code) else "",
)
def test_bad_requests_get_their_code(prediction, request_message, code):
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(request_message)
    assert caught.value.code() is code


def test_metadata_equals_the_saved_model(prediction, models):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "half"
    response = prediction.GetModelMetadata(request)
    served = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(served)
    message = saved_model_pb2.SavedModel()
    message.ParseFromString((models["half"] / "00000123/saved_model.pb").read_bytes())
    assert dict(served.signature_def) == dict(message.meta_graphs[0].signature_def)
    assert response.model_spec.version.value == 123


def test_status_of_one_and_of_all_versions(management):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "labelled"
    entries = management.GetModelStatus(request).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(e.version, e.state, e.status.error_code) for e in entries] == [
        (2, available, 0),
        (1, available, 0),
    ]
    request.model_spec.version.value = 1
    assert [e.version for e in management.GetModelStatus(request).model_version_status] == [1]
    request.model_spec.version.value = 9
    with pytest.raises(grpc.RpcError) as caught:
        management.GetModelStatus(request)
    assert caught.value.code() is Code.NOT_FOUND


# Versions and models that come and go


def test_a_new_version_replaces_the_old_one_and_deleting_it_brings_that_back(
    server, prediction, models, push
):
    push(models["swapped"], 2)
    server.wait_for_states("swapped", {1: "END", 2: "AVAILABLE"})
    assert offset_of(prediction, "swapped") == 2
    with pytest.raises(grpc.RpcError):
        offset_of(prediction, "swapped", version=1)
    shutil.rmtree(models["swapped"] / "2")
    server.wait_for_states("swapped", {1: "AVAILABLE", 2: "END"})
    assert offset_of(prediction, "swapped") == 1


def test_a_reload_adds_and_drops_models_and_moves_labels(
    server, management, prediction, models, config_file
):
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(config_file.read_text(), request.config)
    entries = request.config.model_config_list.config
    entries.add(name="added", base_path=str(models["added"]), model_platform="tensorflow")
    (labelled,) = (entry for entry in entries if entry.name == "labelled")
    labelled.version_labels["stable"] = 2
    assert management.HandleReloadConfigRequest(request).status.error_code == 0
    assert offset_of(prediction, "added") == 3
    assert offset_of(prediction, "labelled", label="stable") == 2
    original = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(config_file.read_text(), original.config)
    management.HandleReloadConfigRequest(original)
    server.wait_for_states("added", {3: "END"})
    assert offset_of(prediction, "labelled", label="stable") == 1


def test_a_reload_with_a_relative_path_is_refused_and_changes_nothing(management, prediction):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(
        name="half", base_path="relative", model_platform="tensorflow"
    )
    with pytest.raises(grpc.RpcError) as caught:
        management.HandleReloadConfigRequest(request)
    assert caught.value.code() is Code.INVALID_ARGUMENT
    assert offset_of(prediction, "half") == 2


def test_the_config_file_is_polled(models, tmp_path, launch_any):
    file = tmp_path / "polled.config"
    write_config(file, config_entry("half", models["half"]))
    server = launch_any(file, "half", "--model_config_file_poll_wait_seconds=1")
    write_config(file, config_entry("later", models["later"]))
    with server.client() as client:
        assert client.wait_until_available("later", 30, server.is_alive) == 1
    server.wait_for_states("half", {123: "END"})
    assert server.post("/v1/models/later:predict", {"inputs": [0]}) == (200, {"outputs": [1.0]})
    server.stop()


# Other people's programs


def run_text(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def send():
    """Send what curl would, with curl where there is one; return the JSON answer."""
    curl = shutil.which("curl")
    if curl:
        return functools.partial(send_with_curl, curl)
    return send_with_httpx


def send_with_curl(curl, url, body=None):
    options = [] if body is None else ["-X", "POST", "-d", json.dumps(body)]
    return json.loads(run_text(curl, "--silent", "--show-error", *options, url))


def send_with_httpx(url, body=None):
    import httpx

    headers = {"Content-Type": "application/x-www-form-urlencoded"}  # curl's, when given -d
    data = None if body is None else json.dumps(body)
    return httpx.request("POST" if body else "GET", url, content=data, headers=headers).json()


def test_what_saved_model_cli_shows_is_what_curl_gets_an_answer_to(server, models, send):
    program = Path(sys.executable).with_name("saved_model_cli")
    folder = str(models["half"] / "00000123")
    shown = run_text(program, "show", "--dir", folder, "--tag_set", "serve", "--all")
    signature = shown.partition("signature_def['serving_default']")[2].partition("signature_def[")[
        0
    ]
    (alias,) = re.findall(r"inputs\['(\w+)'\]", signature)
    assert re.findall(r"dtype: (\w+)", signature) == ["DT_FLOAT", "DT_FLOAT"]
    url = f"http://127.0.0.1:{server.rest_port}{HALF}"
    signatures = send(f"{url}/metadata")["metadata"]["signature_def"]["signature_def"]
    assert set(re.findall(r"signature_def\['(\w+)'\]", shown)) == set(signatures)
    assert signatures["serving_default"]["inputs"][alias]["dtype"] == "DT_FLOAT"
    assert send(f"{url}:predict", {"instances": [{alias: 1.0}]}) == {"predictions": [2.5]}
    assert (
        "Latest(nobody)" in send(url.replace("half", "nobody") + ":predict", {"inputs": 1})["error"]
    )


@only_ours
def test_health_by_service_name(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", "ModelService", "PredictionService"):
        response = stub.Check(health_pb2.HealthCheckRequest(service=name))
        assert response.status == health_pb2.HealthCheckResponse.SERVING


@only_ours
def test_reflection_describes_the_services(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
    } <= set(database.get_services())
    file = database.FindFileContainingSymbol("tensorflow.serving.PredictionService")
    methods = {method.name: method.input_type for method in file.service[0].method}
    assert methods["Predict"] == ".tensorflow.serving.PredictRequest"
    assert len(methods) == 5
