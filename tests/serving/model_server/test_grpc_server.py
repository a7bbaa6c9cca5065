"""The gRPC services of a real server process, through the official stubs."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

Code = grpc.StatusCode
QUICK_SECONDS = 2.0


@pytest.fixture(scope="module")
def channel(server):
    with server.channel() as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel):
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


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (np.float32, [0.1, np.nan]),
        (np.float64, [0.1]),
        (np.int8, [-128]),
        (np.int16, [-5]),
        (np.int32, [-(2**31)]),
        (np.int64, [2**62]),
        (np.uint8, [255, 0]),
        (np.bool_, [True, False, True]),
        (np.object_, [b"\xff\0", b""]),
    ],
)
def test_every_dtype_comes_back_as_sent(prediction, dtype, values):
    value = np.array([values, values], dtype)
    name = "string" if dtype is np.object_ else np.dtype(dtype).name
    response = prediction.Predict(make_request("zoo", f"echo_{name}", value=value))
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["value"]), value)


def test_half_goes_both_ways(prediction):
    value = np.array([0.5, -2], np.float16)
    response = prediction.Predict(make_request("zoo", "from_half_precision", x=value))
    assert list(response.outputs["y"].float_val) == [0.5, -2]
    response = prediction.Predict(make_request("zoo", "half_precision", x=floats(0.5, -2)))
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), value)


def without_spec():
    return predict_pb2.PredictRequest()


def filtered(*aliases):
    request = make_request(x=floats(1))
    request.output_filter.extend(aliases)
    return request


def unparsable(**fields):
    request = make_request()
    x = request.inputs["x"]
    x.dtype = tf.float32.as_datatype_enum
    for size in fields["shape"]:
        x.tensor_shape.dim.add(size=size)
    x.float_val.extend(fields.get("floats", []))
    x.tensor_content = fields.get("content", b"")
    return request


BAD_REQUESTS = {
    "no spec": (without_spec, Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    "no name": (
        lambda: make_request("", x=floats(1)),
        Code.INVALID_ARGUMENT,
        "ModelSpec has no name specified.",
    ),
    "label": (
        lambda: make_request("labelled", label="x", x=floats(1)),
        Code.INVALID_ARGUMENT,
        "Unrecognized servable version label: x",
    ),
    "model": (
        lambda: make_request("nobody", x=floats(1)),
        Code.NOT_FOUND,
        "Servable not found for request: Latest(nobody)",
    ),
    "version": (
        lambda: make_request(version=7, x=floats(1)),
        Code.NOT_FOUND,
        "Servable not found for request: Specific(half, 7)",
    ),
    "signature": (
        lambda: make_request(signature="x", x=floats(1)),
        Code.FAILED_PRECONDITION,
        'Serving signature key "x" not found.',
    ),
    "missing input": (
        make_request,
        Code.INVALID_ARGUMENT,
        "input size does not match signature: 0!=1 len({}) != len({x}). "
        "Sent extra: {}. Missing but required: {x}.",
    ),
    "surplus input": (
        lambda: make_request(x=floats(1), z=floats(1)),
        Code.INVALID_ARGUMENT,
        "Sent extra: {z}",
    ),
    "misnamed input": (
        lambda: make_request(z=floats(1)),
        Code.INVALID_ARGUMENT,
        "input tensor alias not found in signature: z. Inputs expected to be in the set {x}.",
    ),
    "dtype": (
        lambda: make_request(x=np.float64([1])),
        Code.INVALID_ARGUMENT,
        "input tensor 'x' is double, expected float",
    ),
    "shape in the graph": (
        lambda: make_request("zoo", x=floats(1)),
        Code.INVALID_ARGUMENT,
        "Invalid reduction dimension",
    ),
    "too many values": (
        lambda: unparsable(shape=[1], floats=[1, 2]),
        Code.INVALID_ARGUMENT,
        "tensor parsing error: x",
    ),
    "negative size": (
        lambda: unparsable(shape=[-1], floats=[1]),
        Code.INVALID_ARGUMENT,
        "is not fully known",
    ),
    "shape of a petabyte": (
        lambda: unparsable(shape=[2**30, 2**20], floats=[1]),
        Code.INVALID_ARGUMENT,
        "needs 4503599627370496 bytes",
    ),
    "content of another size": (
        lambda: unparsable(shape=[2], content=b"abc"),
        Code.INVALID_ARGUMENT,
        "tensor_content has 3 bytes, expected 8",
    ),
    "unknown output": (
        lambda: filtered("z"),
        Code.INVALID_ARGUMENT,
        "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
    ),
    "repeated output": (
        lambda: filtered("y", "y"),
        Code.INVALID_ARGUMENT,
        "duplicate output tensor alias: y",
    ),
    "op": (
        lambda: make_request("zoo", "fail", n=np.int32([2])),
        Code.INVALID_ARGUMENT,
        "assertion failed: [n must be one]",
    ),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_requests_get_their_code_and_a_reason(prediction, case):
    request, code, message = BAD_REQUESTS[case]
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(request(), timeout=QUICK_SECONDS)
    assert caught.value.code() is code
    assert message in caught.value.details()
    assert prediction.Predict(make_request(x=floats(1))).outputs


def test_messages_are_cut_at_1024_characters(prediction):
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(make_request("n" * 3000, x=floats(1)))
    assert len(caught.value.details()) == 1024


def metadata_request(*fields, model="half"):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = model
    return request


@pytest.mark.parametrize(
    ("request_message", "code", "message"),
    [
        (metadata_request(), Code.INVALID_ARGUMENT, "must specify at least one metadata_field"),
        (metadata_request("x"), Code.INVALID_ARGUMENT, "Metadata field x is not supported"),
        (metadata_request("signature_def", model="x"), Code.NOT_FOUND, "Latest(x)"),
    ],
)
def test_bad_metadata_requests(prediction, request_message, code, message):
    with pytest.raises(grpc.RpcError) as caught:
        prediction.GetModelMetadata(request_message)
    assert caught.value.code() is code
    assert message in caught.value.details()


def reload_request(entries):
    request = model_management_pb2.ReloadConfigRequest()
    for name, path, platform in entries:
        request.config.model_config_list.config.add(
            name=name, base_path=path, model_platform=platform
        )
    return request


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a", "/a", "tensorflow")] * 2, "Illegal to list model a multiple times in config list"),
        ([("a", "a", "tensorflow")], "to have an absolute path or URI; got base_path()=a"),
        ([("a", "/a", "")], "Illegal setting neither ModelServerConfig::model_type"),
        ([("a", "/a", "torch")], "Model a requests unsupported platform torch"),
    ],
)
def test_bad_reloads_change_nothing(models, prediction, entries, message):
    with pytest.raises(grpc.RpcError) as caught:
        models.HandleReloadConfigRequest(reload_request(entries))
    assert caught.value.code() is Code.INVALID_ARGUMENT
    assert message in caught.value.details()
    assert prediction.Predict(make_request(x=floats(1))).outputs


def test_a_reload_needs_a_list_of_models(models):
    with pytest.raises(grpc.RpcError) as caught:
        models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest())
    assert caught.value.code() is Code.INVALID_ARGUMENT


def test_unix_socket(server):
    with grpc.insecure_channel(f"unix:{server.models / 'grpc.sock'}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(make_request(x=floats(1))).outputs


def test_large_messages_pass(server):
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        value = np.zeros(8 * 2**20, np.float32)
        response = stub.Predict(make_request(x=value))
    assert len(response.outputs["y"].float_val) == value.size
