"""Transformed examples of two easy classes, and what TFX would hand to the trainer."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from configs.types import TransformConfig
from schema.features import TRANSFORMED_IMAGE, TRANSFORMED_LABEL_ID

SIDE_PIXELS = 16


def _transformed_example(pixels, label_id):
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                TRANSFORMED_IMAGE: tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[pixels.tobytes()])
                ),
                TRANSFORMED_LABEL_ID: tf.train.Feature(
                    int64_list=tf.train.Int64List(value=[label_id])
                ),
            }
        )
    ).SerializeToString()


def _draw(label_id, random):
    # Each class brightens one band of rows; negative ids are noise.
    pixels = random.integers(0, 120, (SIDE_PIXELS, SIDE_PIXELS, 3), np.uint8)
    if label_id >= 0:
        pixels[3 * label_id : 3 * label_id + 3] += 130
    return pixels


@pytest.fixture(scope="session")
def write_shards():
    """Function of (folder, split, label ids, shards, suffix) to a file pattern."""

    def write(folder, split, label_ids, *, num_shards=2, suffix=""):
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(len(label_ids))
        options = tf.io.TFRecordOptions("GZIP" if suffix else "")
        for shard in range(num_shards):
            path = folder / f"{split}-{shard:05d}{suffix}"
            with tf.io.TFRecordWriter(str(path), options) as writer:
                for label_id in label_ids[shard::num_shards]:
                    writer.write(_transformed_example(_draw(label_id, random), label_id))
        return str(folder / f"{split}-*")

    return write


@pytest.fixture(scope="session")
def image_size():
    """Size of the images in the shards."""
    return TransformConfig(SIDE_PIXELS, SIDE_PIXELS)


@pytest.fixture(scope="session")
def schema_file(tmp_path_factory):
    """A schema of three classes, whose order is not the alphabet's."""
    path = tmp_path_factory.mktemp("schema") / "schema.pbtxt"
    path.write_text(
        'feature { name: "label" type: BYTES '
        'string_domain { value: "shoe" value: "bag" value: "hat" } }'
    )
    return path


@pytest.fixture(scope="session")
def make_fn_args(tmp_path_factory, write_shards, schema_file):
    """Function of (train settings, tune settings) to FnArgs with data of three classes."""
    folder = tmp_path_factory.mktemp("splits")
    patterns = {
        split: write_shards(folder, split, [0, 1, 2, 0] * count, suffix=".gz")
        for split, count in (("train", 24), ("validation", 8))
    }

    def make(*, train=None, tune=None, hyperparameters=None):
        out = tmp_path_factory.mktemp("out")
        image = {"height_pixels": SIDE_PIXELS, "width_pixels": SIDE_PIXELS}
        settings = {
            "backbone": "reference",
            "batch_size": 16,
            "epochs": 3,
            "augmentation_strength": 0.1,
            **(train or {}),
        }
        return SimpleNamespace(
            train_files=[patterns["train"]],
            eval_files=[patterns["validation"]],
            schema_path=str(schema_file),
            serving_model_dir=str(out / "Format-Serving"),
            model_run_dir=str(out / "run"),
            working_dir=str(out / "work"),
            hyperparameters=hyperparameters,
            custom_config={
                "train": json.dumps(settings),
                "transform": json.dumps(image),
                "tune": json.dumps(tune or {"max_trials": 2, "epochs": 1}),
            },
        )

    return make
