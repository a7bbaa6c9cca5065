import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from configs.errors import ConfigError
from schema.features import IMAGE_ENCODED, LABEL, TRANSFORMED_IMAGE, TRANSFORMED_LABEL_ID
from transform.image_ops import bytes_to_pixels, image_batch_to_pixels
from transform.preprocessing import look_up_label_ids, preprocessing_fn

SIZE = {"height_pixels": 16, "width_pixels": 12}
CONFIG = {**SIZE, "labels": ["bag", "shoe"]}


def _pixels(outputs):
    return bytes_to_pixels(tf.constant(outputs[TRANSFORMED_IMAGE]), **SIZE)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_dense_features_of_either_shape_are_read(shape, encoded_formats):
    data = tf.constant(list(encoded_formats.values()))
    names = tf.constant(["shoe"] * len(encoded_formats))
    inputs = {IMAGE_ENCODED: tf.reshape(data, shape), LABEL: tf.reshape(names, shape)}
    outputs = preprocessing_fn(inputs, CONFIG)
    np.testing.assert_array_equal(_pixels(outputs), image_batch_to_pixels(data, **SIZE))
    assert set(outputs[TRANSFORMED_LABEL_ID].numpy()) == {1}


def test_a_missing_sparse_label_is_unknown(encoded_formats):
    data = tf.constant([encoded_formats["gif"]] * 3)
    label = tf.SparseTensor([[0, 0], [2, 0]], ["shoe", "bag"], (3, 1))
    outputs = preprocessing_fn(
        {IMAGE_ENCODED: tf.sparse.from_dense(data[:, None]), LABEL: label}, CONFIG
    )
    assert outputs[TRANSFORMED_LABEL_ID].numpy().tolist() == [1, -1, 0]


def test_ids_follow_the_order_of_the_labels():
    ids = look_up_label_ids(tf.constant(["b", "a", "c", ""]), labels=["b", "a"])
    assert ids.numpy().tolist() == [0, 1, -1, -1]
    assert ids.dtype == tf.int64


def test_an_incomplete_config_is_refused():
    with pytest.raises(ConfigError, match="lacks height_pixels, labels, got"):
        preprocessing_fn({}, {"width_pixels": 3})


def test_transform_runs_it_without_an_analysis_pass(tmp_path, encoded_formats):
    spec = {
        IMAGE_ENCODED: tf.io.FixedLenFeature([], tf.string),
        LABEL: tf.io.FixedLenFeature([], tf.string),
    }
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    rows = [{IMAGE_ENCODED: data, LABEL: "bag"} for data in encoded_formats.values()]
    with beam.Pipeline() as pipeline, tft_beam.Context(temp_dir=str(tmp_path / "temp")):
        raw = pipeline | beam.Create([])
        transform_fn = (raw, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, CONFIG)
        )
        _ = transform_fn | tft_beam.WriteTransformFn(str(tmp_path / "graph"))
    layer = tft.TFTransformOutput(str(tmp_path / "graph")).transform_features_layer()
    inputs = {key: tf.constant([row[key] for row in rows]) for key in spec}
    outputs = layer(inputs)
    expected = image_batch_to_pixels(inputs[IMAGE_ENCODED], **SIZE)
    np.testing.assert_array_equal(_pixels(outputs), expected)
    assert set(outputs[TRANSFORMED_LABEL_ID].numpy()) == {0}
