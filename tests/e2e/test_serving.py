"""The pushed version answers over the wire as Transform and the model do at home."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.infra_validator.process_runner import free_ports
from data.examples import encode_example
from data.images import ImageProbe
from data.quality import QualityMeasures
from data.sources import ImageFile
from schema.features import IMAGE_ENCODED, TRANSFORMED_IMAGE
from serving.model_server.client import ModelServerClient
from transform.image_ops import bytes_to_pixels

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(snapshot, tmp_path_factory):
    grpc_port, rest_port = free_ports(2)
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "serving.model_server",
                f"--port={grpc_port}",
                f"--rest_api_port={rest_port}",
                "--model_name=loupe",
                f"--model_base_path={snapshot / 'serving' / 'loupe'}",
            ],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    client = ModelServerClient(
        grpc_address=f"127.0.0.1:{grpc_port}", rest_address=f"127.0.0.1:{rest_port}"
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(Exception):
                client.wait_until_available("loupe", 5)
                break
            assert time.monotonic() < deadline, log.read_text()
        yield client, rest_port
    finally:
        client.close()
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="module")
def transform_then_model(snapshot):
    """Function of image bytes to probabilities, through Transform's own graph and the pixels."""
    output = tft.TFTransformOutput(str(snapshot / "transform_graph"))
    transform = output.transform_features_layer()
    (version,) = (snapshot / "serving" / "loupe").iterdir()
    model = tf.saved_model.load(str(version))
    defaults = {tf.string: "", tf.int64: 1, tf.float32: 0.5}
    others = {
        name: tf.constant([[defaults[spec.dtype]]], spec.dtype)
        for name, spec in output.raw_feature_spec().items()
    }

    def predict(data):
        transformed = transform({**others, IMAGE_ENCODED: tf.constant([[data]])})
        stored = tf.reshape(transformed[TRANSFORMED_IMAGE], [1])
        pixels = bytes_to_pixels(stored, height_pixels=64, width_pixels=64)
        answer = model.signatures["serve_pixels"](pixels=tf.cast(pixels, tf.float32))
        return answer["probabilities"].numpy()

    return predict


def test_served_bytes_equal_transform_and_model(server, transform_then_model, encoded):
    client, _ = server
    expected = transform_then_model(encoded)
    inputs = {"image_bytes": np.array([encoded], object)}
    for predict in (client.predict_grpc, client.predict_rest):
        answer = predict("loupe", inputs, signature_name="serving_default")
        np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5, rtol=0)


def test_served_examples_equal_served_bytes(server, encoded):
    client, _ = server
    file = ImageFile(Path("x"), "x", "bag", None, 1)
    probe = ImageProbe("jpeg", 1, 1, 3, 1, 1)
    measures = QualityMeasures(0.5, 0.1, 100.0, 0.2, 0)
    example = encode_example(file, encoded, probe, measures, "0" * 64)
    by_example = client.predict_grpc(
        "loupe", {"examples": np.array([example], object)}, signature_name="serve_examples"
    )
    by_bytes = client.predict_grpc("loupe", {"image_bytes": np.array([encoded], object)})
    np.testing.assert_allclose(by_example["probabilities"], by_bytes["probabilities"], atol=1e-6)


def test_a_mixed_batch_answers_like_single_images(server, encoded_formats):
    client, _ = server
    images = list(encoded_formats.values())
    batch = client.predict_grpc("loupe", {"image_bytes": np.array(images, object)})
    for position in (0, 5, len(images) - 1):
        one = client.predict_grpc("loupe", {"image_bytes": np.array([images[position]], object)})
        np.testing.assert_allclose(
            batch["probabilities"][position], one["probabilities"][0], atol=1e-5
        )


def test_bytes_that_are_no_image_are_refused_and_the_next_request_works(server, encoded_formats):
    _, port = server

    def post(data):
        text = base64.b64encode(data).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/models/loupe:predict",
            json.dumps({"instances": [{"image_bytes": {"b64": text}}]}).encode(),
        )
        return urllib.request.urlopen(request, timeout=30)

    with pytest.raises(urllib.error.HTTPError) as caught:
        post(b"not an image")
    assert caught.value.code == 400
    assert "error" in json.loads(caught.value.read())
    answer = json.loads(post(encoded_formats["png alpha"]).read())["predictions"][0]
    outputs = {"label", "label_id", "probability", "probabilities", "classes", "needs_review"}
    assert set(answer) == outputs


def test_the_readme_s_request_gets_an_answer(server, photos, tmp_path):
    _, port = server
    (tmp_path / "sample-data").symlink_to(photos)  # where the README's image lies
    text = (ROOT / "README.md").read_text().split("<!-- test: predict -->\n```sh\n")[1]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text.split("```")[0]],
        env={**os.environ, "WORKSPACE": str(tmp_path), "REST_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["predictions"]
    assert answer["label"] in {path.name for path in photos.iterdir()}
