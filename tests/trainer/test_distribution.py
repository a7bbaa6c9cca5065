import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tf_config

from configs.types import TrainConfig
from trainer.distribution import choose_precision, choose_strategy, choose_xla, training_scope

HAS_GPU = bool(tf.config.list_physical_devices("GPU"))


def test_a_single_cpu_has_nothing_to_mirror():
    strategy = choose_strategy(TrainConfig())
    assert isinstance(strategy, tf.distribute.MirroredStrategy) == HAS_GPU


def test_mirrored_is_over_the_devices_there_are():
    strategy = choose_strategy(TrainConfig(strategy="mirrored"))
    assert isinstance(strategy, tf.distribute.MirroredStrategy)
    kind = "GPU" if HAS_GPU else "CPU"
    assert strategy.num_replicas_in_sync == len(tf.config.list_logical_devices(kind))


def test_no_strategy_can_be_forced():
    strategy = choose_strategy(TrainConfig(strategy="none"))
    assert not isinstance(strategy, tf.distribute.MirroredStrategy)


@pytest.mark.skipif(HAS_GPU, reason="about machines without a GPU")
def test_a_cpu_computes_in_float32_without_xla():
    assert choose_precision(TrainConfig()) == "float32"
    assert choose_xla(TrainConfig()) is False


def test_configuration_forces_precision_and_xla():
    assert choose_precision(TrainConfig(precision="mixed_bfloat16")) == "mixed_bfloat16"
    assert choose_xla(TrainConfig(xla="on")) is True
    assert choose_xla(TrainConfig(xla="off")) is False


def _global_state():
    return (
        keras.config.dtype_policy().name,
        tf_config.is_op_determinism_enabled(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
    )


def test_the_scope_leaves_nothing_behind():
    before = _global_state()
    with training_scope(TrainConfig(precision="mixed_bfloat16")):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert tf_config.is_op_determinism_enabled()
        random.random()
        np.random.rand()
    assert _global_state() == before


def test_the_scope_leaves_nothing_behind_after_an_error():
    before = _global_state()
    with pytest.raises(KeyError), training_scope(TrainConfig(precision="mixed_float16")):
        raise KeyError
    assert _global_state() == before
