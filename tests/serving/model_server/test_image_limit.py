"""Images too large to decode, and other requests that mean harm, over both protocols."""

import base64
import io
import struct
import time
import zlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.image_limit import check_images
from serving.model_server.image_sizes import MAX_BLOCKS

ZOO = "/v1/models/zoo:predict"
QUICK_SECONDS = 2.0
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def make_png(width, height):
    """A real image of one bit per pixel, all black: 20,000 x 20,000 take 49 kB."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(height * (1 + (width + 7) // 8)), 9)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def make_jpeg(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, "JPEG")
    return buffer.getvalue()


def make_example(*images):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=images))
    features = tf.train.Features(feature={"image/encoded": feature})
    return tf.train.Example(features=features).SerializeToString()


@pytest.fixture(scope="module")
def bomb():
    return make_png(20_000, 20_000)


@pytest.fixture(scope="module")
def stub(server):
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=options) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def ask_rest(server, signature, images):
    encoded = [{"b64": base64.b64encode(image).decode()} for image in images]
    return server.post(ZOO, {"signature_name": signature, "inputs": encoded})


def ask_grpc(stub, signature, images):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "zoo"
    request.model_spec.signature_name = signature
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(np.array(images, dtype=object)))
    return stub.Predict(request)


def cases(bomb):
    jpeg = make_jpeg(64, 48)
    too_many = b"GIF89a" + bytes(7) + b"\x21\xf9" + b"\x01x" * (MAX_BLOCKS + 1)
    return {
        "bomb": ("decode", [jpeg, bomb], "element 1: the image has 400000000 pixels"),
        "bomb in an example": (
            "decode_example",
            [make_example(bomb)],
            "element 0: the image has 400000000 pixels, expected at most 50000000",
        ),
        "bomb among 100": ("decode", [jpeg] * 99 + [bomb], "element 99: the image has"),
        "bomb that hides": ("decode", [too_many], f"has more than {MAX_BLOCKS} blocks"),
        "truncated": ("decode", [jpeg[:-300]], "jpeg::Uncompress failed. Invalid JPEG data"),
        "cut in its header": ("decode", [jpeg[:100]], "Invalid JPEG data"),
        "no image": ("decode", [b"text"], "Unknown image file format"),
        "empty": ("decode", [b""], "Input is empty."),
        "no example": ("decode_example", [b"text"], "Could not parse example input"),
    }


def test_each_gets_its_code_at_once_and_the_next_request_works(server, stub, bomb):
    jpeg = make_jpeg(64, 48)
    for name, (signature, images, message) in cases(bomb).items():
        started = time.monotonic()
        status, reply = ask_rest(server, signature, images)
        assert (status, message in reply["error"]) == (400, True), (name, status, reply)
        assert time.monotonic() - started < QUICK_SECONDS, name
        started = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            ask_grpc(stub, signature, images)
        assert caught.value.code() is INVALID, name
        assert message in caught.value.details(), name
        assert time.monotonic() - started < QUICK_SECONDS, name
        assert ask_rest(server, "decode", [jpeg]) == (200, {"outputs": [[48, 64]]})
        assert list(ask_grpc(stub, "decode", [jpeg]).outputs["size"].int_val) == [48, 64]


def test_images_within_the_limit_and_strings_that_are_none_pass(server, stub):
    image = make_png(2000, 1000)
    assert ask_rest(server, "decode", [image]) == (200, {"outputs": [[1000, 2000]]})
    assert ask_rest(server, "decode_example", [make_example(image)])[0] == 200
    texts = [b"", b"BM", b"\n", b"\n\x04text", b"\xff\xd8\xff"]
    response = ask_grpc(stub, "image", texts)
    assert list(response.outputs["raw_bytes"].string_val) == texts


def test_an_empty_batch_and_ten_thousand_images(server, stub):
    assert ask_rest(server, "image", [])[0] == 200
    assert not ask_grpc(stub, "image", []).outputs["raw_bytes"].string_val
    images = [make_jpeg(8, 8)] * 10_000
    assert len(ask_grpc(stub, "image", images).outputs["raw_bytes"].string_val) == 10_000


@pytest.mark.parametrize("value", ["NaN", "Infinity", "[1, [2]]", "1e400", "null", '{"x": 1}'])
def test_values_that_are_no_integers_are_refused(server, value):
    body = f'{{"signature_name": "fail", "inputs": [{value}]}}'.encode()
    started = time.monotonic()
    assert server.post(ZOO, body)[0] == 400
    assert time.monotonic() - started < QUICK_SECONDS
    assert server.post(ZOO, {"signature_name": "fail", "inputs": [1]})[0] == 200


def test_the_check_names_input_and_element():
    inputs = {
        "number": np.float32([1]),
        "image": np.array([[b"text", make_png(30, 30)]], dtype=object),
    }
    check_images(inputs, max_pixels=900)
    with pytest.raises(InvalidArgumentError) as caught:
        check_images(inputs, max_pixels=899)
    assert caught.value.message == (
        "input 'image', element 1: the image has 900 pixels, expected at most 899. Make it "
        "smaller, or raise --max_image_pixels."
    )
