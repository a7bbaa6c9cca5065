import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.errors import ConfigError, StageError
from configs.types import TrainConfig
from trainer.fitting import FittedClassifier
from trainer.input_fn import open_split
from trainer.model import build_classifier
from trainer.run_fn import apply_hyperparameters, decide_on_validation, run_fn
from trainer.thresholds import Decision


@pytest.fixture(scope="module")
def finished(make_fn_args):
    fn_args = make_fn_args(train={"epochs": 6})
    run_fn(fn_args)
    return fn_args


def test_the_export_answers_in_the_schemas_order(finished, encoded_formats):
    loaded = tf.saved_model.load(finished.serving_model_dir)
    answer = loaded.signatures["serving_default"](tf.constant([encoded_formats["gif"]]))
    assert answer["probabilities"].shape == (1, 3)
    labels = Path(finished.serving_model_dir, "assets/labels.txt").read_text("utf-8")
    assert labels.split() == ["shoe", "bag", "hat"]


def test_the_decision_is_measured_on_validation(finished):
    text = Path(finished.serving_model_dir, "assets/decision.json").read_text()
    decision = Decision.from_json(text)
    assert decision.validation_examples == 32
    history = json.loads(Path(finished.model_run_dir, "history.json").read_text())["epochs"]
    best = min(history, key=lambda epoch: epoch["val_loss"])
    assert decision.validation_accuracy == pytest.approx(best["val_accuracy"], abs=1e-3)


def test_images_of_unknown_classes_decide_nothing(tmp_path, write_shards, image_size):
    pattern = write_shards(tmp_path, "validation", [0, 1, 2, -1] * 2)
    validation = open_split([pattern], name="validation", num_classes=3, image=image_size)
    config = TrainConfig(backbone="reference", batch_size=4)
    model = build_classifier(
        config,
        num_classes=3,
        height_pixels=image_size.height_pixels,
        width_pixels=image_size.width_pixels,
    )
    decision = decide_on_validation(FittedClassifier(model, {}), validation, config)
    assert decision.validation_examples == 6


def test_what_the_tuner_found_rules(make_fn_args):
    hyperparameters = {"space": [], "values": {"width_multiplier": 0.5, "dropout": 0.0}}
    fn_args = make_fn_args(train={"max_steps": 1}, hyperparameters=hyperparameters)
    run_fn(fn_args)
    loaded = tf.saved_model.load(fn_args.serving_model_dir)
    pixels = np.zeros((1, 16, 16, 3), np.float32)
    assert loaded.signatures["serve_pixels"](tf.constant(pixels))["label"].shape == (1,)
    first = tf.train.load_checkpoint(f"{fn_args.serving_model_dir}/variables/variables")
    assert (3, 3, 3, 16) in [tuple(s) for s in first.get_variable_to_shape_map().values()]


def test_no_hyperparameters_change_nothing():
    assert apply_hyperparameters(TrainConfig(), None) == TrainConfig()
    assert apply_hyperparameters(TrainConfig(), {"space": []}) == TrainConfig()


def test_an_unknown_hyperparameter_is_refused():
    with pytest.raises(StageError, match=r"hyperparameters units are no settings .* dropout"):
        apply_hyperparameters(TrainConfig(), {"values": {"units": 3}})


def test_a_hyperparameter_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"train.dropout is 0.95, expected 0.0 to 0.9"):
        apply_hyperparameters(TrainConfig(), {"values": {"dropout": 0.95}})


def test_an_incomplete_custom_config_is_refused(make_fn_args):
    fn_args = make_fn_args()
    fn_args.custom_config = {"train": "{}"}
    with pytest.raises(StageError, match=r"custom_config lacks transform, got .*build_trainer"):
        run_fn(fn_args)
