import json

import numpy as np
import pytest
import tensorflow as tf

from configs.types import TrainConfig
from schema.features import IMAGE_ENCODED, LABEL, Signature
from trainer.model import build_classifier
from trainer.signatures import export_classifier
from trainer.thresholds import Decision, softmax
from transform.image_ops import image_bytes_to_pixels

LABELS = ["bag", "shoe", "hät"]
SIZE = {"height_pixels": 24, "width_pixels": 16}
ANSWERS = {"label", "label_id", "probability", "probabilities", "classes", "needs_review"}
DECISION = Decision(1.5, None, 0.02, 30, 0.9, 0.2)


def _export(folder, labels, decision):
    config = TrainConfig(backbone="compact", seed=3)
    model = build_classifier(config, num_classes=len(labels), **SIZE)
    # Untrained batch statistics and biases are all 0 or 1 and would hide mistakes.
    random = np.random.default_rng(0)
    model.set_weights([
        weight + random.uniform(0, 0.3, weight.shape) * (weight.ndim == 1)
        for weight in model.get_weights()
    ])
    export_classifier(model, labels=labels, decision=decision, folder=folder)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "1"
    model = _export(folder, LABELS, DECISION)
    return model, folder, tf.saved_model.load(str(folder))


def _example(data, label=None):
    feature = {IMAGE_ENCODED: tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))}
    if label is not None:
        feature[LABEL] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[label.encode()]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _call(loaded, signature, data):
    outputs = loaded.signatures[signature](tf.constant(data))
    return {name: value.numpy() for name, value in outputs.items()}


def test_every_signature_is_there(exported):
    assert set(exported[2].signatures) == set(Signature) - {Signature.EXPLAIN}


def test_serving_equals_transform_and_model(exported, encoded):
    model, _, loaded = exported
    pixels = image_bytes_to_pixels(tf.constant(encoded), **SIZE)
    logits = model(tf.cast(pixels, tf.float32)[tf.newaxis], training=False).numpy()
    expected = softmax(logits / DECISION.temperature)
    answer = _call(loaded, "serving_default", [encoded])
    assert set(answer) == ANSWERS
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)


def test_mixed_sizes_and_formats_share_a_batch(exported, encoded_formats):
    batch = list(encoded_formats.values())
    together = _call(exported[2], "serving_default", batch)
    alone = [_call(exported[2], "serving_default", [one])["probabilities"][0] for one in batch]
    np.testing.assert_allclose(together["probabilities"], alone, atol=1e-6)
    assert len({tuple(row) for row in np.round(together["probabilities"], 5)}) > 3


def test_answers_are_consistent(exported, encoded_formats):
    answer = _call(exported[2], "serving_default", list(encoded_formats.values()))
    probabilities = answer["probabilities"]
    assert answer["label_id"].tolist() == probabilities.argmax(axis=1).tolist()
    assert [one.decode() for one in answer["label"]] == [LABELS[i] for i in answer["label_id"]]
    np.testing.assert_array_equal(answer["probability"], probabilities.max(axis=1))
    assert [[one.decode() for one in row] for row in answer["classes"]] == [LABELS] * len(
        probabilities
    )
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    assert answer["needs_review"].tolist() == ((first - second) / 2 <= 0.02).tolist()


def test_examples_are_answered_like_bytes(exported, encoded_formats):
    batch = list(encoded_formats.values())
    by_bytes = _call(exported[2], "serving_default", batch)
    by_example = _call(exported[2], "serve_examples", [_example(one) for one in batch])
    for name in ANSWERS:
        np.testing.assert_array_equal(by_example[name], by_bytes[name])


def test_transform_features_give_pixels_and_label_ids(exported, encoded_formats):
    data = encoded_formats["jpeg turned"]
    examples = [_example(data, "hät"), _example(data), _example(data, "unknown")]
    outputs = _call(exported[2], "transform_features", examples)
    np.testing.assert_array_equal(
        outputs["image"][0], image_bytes_to_pixels(tf.constant(data), **SIZE)
    )
    assert outputs["image"].dtype == np.uint8
    assert outputs["label_id"].tolist() == [2, -1, -1]


def test_pixels_are_answered_unscaled(exported, encoded_formats):
    data = encoded_formats["png colour"]
    pixels = tf.cast(image_bytes_to_pixels(tf.constant(data), **SIZE), tf.float32)
    answer = _call(exported[2], "serve_pixels", pixels[tf.newaxis])
    expected = _call(exported[2], "serving_default", [data])
    np.testing.assert_allclose(answer["probabilities"], expected["probabilities"], atol=1e-6)


def test_embedding_is_one_vector_per_image(exported, encoded_formats):
    batch = list(encoded_formats.values())[:5]
    embedding = _call(exported[2], "embed", batch)["embedding"]
    assert embedding.dtype == np.float32
    assert embedding.shape[0] == 5
    assert np.ptp(embedding, axis=0).max() > 0


def test_bytes_that_are_no_image_are_an_error(exported):
    with pytest.raises(tf.errors.InvalidArgumentError):
        _call(exported[2], "serving_default", [b"not an image"])


def test_labels_and_decision_are_assets(exported):
    assets = exported[1] / "assets"
    assert (assets / "labels.txt").read_text("utf-8").splitlines() == LABELS
    assert json.loads((assets / "decision.json").read_text())["temperature"] == 1.5


def test_a_session_of_tensorflow_1_serves_it(exported, encoded_formats):
    batch = list(encoded_formats.values())
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(exported[1]))
        signature = graph.signature_def["serving_default"]
        labels, probabilities = session.run(
            [signature.outputs[name].name for name in ("label", "probabilities")],
            {signature.inputs["image_bytes"].name: batch},
        )
    expected = _call(exported[2], "serving_default", batch)
    assert labels.tolist() == expected["label"].tolist()
    np.testing.assert_allclose(probabilities, expected["probabilities"], atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_two_classes_are_decided_by_the_threshold(threshold, tmp_path, encoded_formats):
    decision = Decision(1.0, threshold, 0.1, 30, 0.9, 0.2)
    _export(tmp_path / "1", ["bad", "good"], decision)
    loaded = tf.saved_model.load(str(tmp_path / "1"))
    answer = _call(loaded, "serving_default", [encoded_formats["gif"]])
    expected = int(answer["probabilities"][0, 1] >= threshold)
    assert answer["label_id"].tolist() == [expected]
    assert answer["probability"][0] == answer["probabilities"][0, expected]
    distance = abs(answer["probabilities"][0, 1] - threshold)
    assert answer["needs_review"].tolist() == [bool(distance <= 0.1)]
