import numpy as np
import pytest

from configs.errors import UpstreamError
from serving.gateway.model.protos import DataType, PredictRequest, PredictResponse
from serving.gateway.model.tensors import add_images, read_outputs


@pytest.fixture(scope="module")
def predict_pb2():
    return pytest.importorskip("tensorflow_serving.apis.predict_pb2")


def test_requests_are_those_of_tensorflow_serving(predict_pb2):
    request = PredictRequest()
    request.model_spec.name = "loupe"
    request.model_spec.version_label = "canary"
    request.model_spec.signature_name = "serving_default"
    add_images(request, "image_bytes", [b"\xff\xd8\x00", b"GIF"])
    request.output_filter.append("label")
    theirs = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert theirs.model_spec.name == "loupe"
    assert theirs.model_spec.version_label == "canary"
    assert theirs.model_spec.signature_name == "serving_default"
    tensor = theirs.inputs["image_bytes"]
    assert list(tensor.string_val) == [b"\xff\xd8\x00", b"GIF"]
    assert [dimension.size for dimension in tensor.tensor_shape.dim] == [2]
    assert tensor.dtype == DataType.STRING
    assert list(theirs.output_filter) == ["label"]


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_outputs_are_read_as_tensorflow_wrote_them(predict_pb2, dtype, as_content):
    import tensorflow as tf

    value = np.arange(6).reshape(2, 3).astype(dtype)
    theirs = predict_pb2.PredictResponse()
    theirs.model_spec.version.value = 9
    source = tf.make_tensor_proto(value)
    field = {"float32": "float_val", "int64": "int64_val", "bool": "bool_val"}[dtype]
    for name in (field, "tensor_content"):
        source.ClearField(name)
    if as_content:
        source.tensor_content = value.tobytes()
    else:
        getattr(source, field).extend(value.reshape(-1).tolist())
    theirs.outputs["y"].CopyFrom(source)
    ours = PredictResponse.FromString(theirs.SerializeToString())
    outputs = read_outputs(ours)
    assert ours.model_spec.version.value == 9
    assert outputs["y"].dtype == value.dtype
    np.testing.assert_array_equal(outputs["y"], value)


def test_strings_are_bytes(predict_pb2):
    import tensorflow as tf

    theirs = predict_pb2.PredictResponse()
    theirs.outputs["label"].CopyFrom(tf.make_tensor_proto(np.array([b"a", b"\xff"], object)))
    outputs = read_outputs(PredictResponse.FromString(theirs.SerializeToString()))
    assert outputs["label"].tolist() == [b"a", b"\xff"]


@pytest.mark.parametrize(
    ("data_type", "size", "message"),
    [
        (DataType.FLOAT, 3, r"output 'y' .* does not fit its shape \[3\]"),
        (4, 2, r"output 'y' .* dtype number 4, expected one of \[1, 7, 9, 10\]"),
    ],
)
def test_tensors_that_nobody_understands_are_refused(data_type, size, message):
    response = PredictResponse()
    tensor = response.outputs.add(key="y").value
    tensor.dtype = data_type
    tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.extend([1.0, 2.0])
    with pytest.raises(UpstreamError, match=message):
        read_outputs(response)
