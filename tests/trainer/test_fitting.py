import json
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from configs.types import TrainConfig
from trainer.callbacks import HISTORY_FILENAME
from trainer.fitting import fit_classifier
from trainer.input_fn import make_evaluation_dataset, open_split


@pytest.fixture(scope="module")
def splits(tmp_path_factory, write_shards, image_size):
    folder = tmp_path_factory.mktemp("shards")
    label_ids = {"train": [0, 1, 2] * 20, "validation": [0, 1, 2] * 4}
    return [
        open_split([write_shards(folder, name, ids)], name=name, num_classes=3, image=image_size)
        for name, ids in label_ids.items()
    ]


def _fit(splits, folder, **settings):
    # The reference network is traced in a third of the time of the other.
    config = TrainConfig(**{"backbone": "reference", "batch_size": 12, "epochs": 2, **settings})
    return fit_classifier(config, *splits, run_folder=folder)


@pytest.mark.parametrize("backbone", ["reference", "compact"])
def test_the_same_seed_gives_the_same_weights(backbone, splits, tmp_path):
    runs = [_fit(splits, tmp_path / name, backbone=backbone) for name in "ab"]
    for one, other in zip(*(run.model.get_weights() for run in runs), strict=True):
        np.testing.assert_array_equal(one, other)
    assert runs[0].history == runs[1].history


def test_another_seed_gives_other_weights(splits, tmp_path):
    one, other = (_fit(splits, tmp_path, seed=seed, max_steps=1) for seed in (1, 2))
    assert not np.array_equal(one.model.get_weights()[0], other.model.get_weights()[0])


@pytest.mark.parametrize(
    ("backbone", "strategy"),
    [("reference", "none"), ("reference", "mirrored"), ("compact", "none")],
)
def test_it_learns(backbone, strategy, splits, tmp_path):
    settings = {"backbone": backbone, "strategy": strategy, "augmentation_strength": 0.0}
    fitted = _fit(splits, tmp_path, epochs=8, **settings)
    assert max(fitted.history["val_accuracy"]) > 0.9


def test_max_steps_limits_the_steps_over_all_epochs(splits, tmp_path, caplog):
    with caplog.at_level("INFO", "loupe.trainer"):
        fitted = _fit(splits, tmp_path, epochs=9, max_steps=7)
    done = [record.progress["done"] for record in caplog.records if hasattr(record, "progress")]
    assert max(done) == 7
    assert len(fitted.history["loss"]) == 2


def test_training_stops_when_validation_gets_worse_and_keeps_the_best_weights(splits, tmp_path):
    config = TrainConfig(
        backbone="reference", batch_size=12, epochs=60, patience_epochs=1, learning_rate=0.05
    )
    fitted = fit_classifier(config, *splits, run_folder=tmp_path)
    losses = fitted.history["val_loss"]
    assert len(losses) < 60
    assert losses[-1] > min(losses)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    kept = [
        float(loss(one_hot, fitted.model(pixels)))
        for pixels, one_hot, _ in make_evaluation_dataset(splits[1], config)
    ]
    assert np.mean(kept) == pytest.approx(min(losses), rel=1e-4)


def test_a_step_compiled_by_xla_learns_the_same(splits, tmp_path):
    settings = {"epochs": 1, "augmentation_strength": 0.0, "dropout": 0.0}
    plain, compiled = (_fit(splits, tmp_path, xla=xla, **settings) for xla in ("off", "on"))
    assert compiled.history["loss"] == pytest.approx(plain.history["loss"], rel=1e-3)


def test_history_and_tensorboard_logs_are_written(splits, tmp_path):
    fitted = _fit(splits, tmp_path, max_steps=3)
    epochs = json.loads((tmp_path / HISTORY_FILENAME).read_text())["epochs"]
    assert [one["val_loss"] for one in epochs] == pytest.approx(fitted.history["val_loss"])
    assert list(tmp_path.glob("validation/events.out.tfevents.*"))


def test_two_replicas_train_in_float16_and_agree_with_themselves(splits, tmp_path):
    # Logical devices can only be made before TensorFlow starts: another process it is.
    script = f"""
        import hashlib
        from pathlib import Path
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        from configs.types import TrainConfig, TransformConfig
        from trainer.fitting import fit_classifier
        from trainer.input_fn import Split
        config = TrainConfig(
            backbone="compact", precision="mixed_float16", batch_size=12, max_steps=6
        )
        splits = [
            Split(split.files, split.class_counts, TransformConfig(16, 16))
            for split in (Split{_arguments(splits[0])}, Split{_arguments(splits[1])})
        ]
        for name in "ab":
            fitted = fit_classifier(config, *splits, run_folder=Path({str(tmp_path)!r}) / name)
            weights = fitted.model.get_weights()
            print(hashlib.sha256(b"".join(one.tobytes() for one in weights)).hexdigest())
        print(fitted.model.output.dtype, fitted.model.layers[2].compute_dtype)
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    first, second, dtypes = finished.stdout.splitlines()[-3:]
    assert first == second
    assert dtypes == "float32 float32"


def _arguments(split):
    return (split.files, split.class_counts, None)
