"""Where training runs and in which arithmetic: decided by device, or forced by configuration."""

import contextlib
import random
from collections.abc import Generator
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import config as tf_config

from configs.errors import ConfigError
from configs.types import TrainConfig

_TENSOR_CORE_CAPABILITY: Final = (7, 0)


def choose_strategy(config: TrainConfig) -> tf.distribute.Strategy:
    """Choose how steps are spread over devices.

    Args:
        config: `strategy` is `mirrored` (MirroredStrategy over every GPU, or over every logical CPU
            when there is none), `none`, or `auto`: `mirrored`, but on a single CPU `none`.

    Returns:
        The strategy.

    Raises:
        ConfigError: the batch does not divide over the replicas.
    """
    if config.strategy == "none":
        return tf.distribute.get_strategy()
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    # One CPU has nothing to mirror, and MirroredStrategy's input waits there after each epoch: see
    # `trainer.input_fn`.
    if config.strategy == "auto" and not gpus and len(devices) == 1:
        return tf.distribute.get_strategy()
    if config.batch_size % len(devices):
        raise ConfigError(
            f"train.batch_size is {config.batch_size}, expected a multiple of the "
            f"{len(devices)} devices it is spread over. Change it, or set train.strategy=none."
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def choose_precision(config: TrainConfig) -> str:
    """Choose the Keras dtype policy.

    Args:
        config: `precision` is `auto` or the name of a policy.

    Returns:
        The policy's name; `auto` is mixed_float16 where every GPU has tensor cores.
    """
    if config.precision != "auto":
        return config.precision
    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in gpus
    ]
    has_tensor_cores = bool(gpus) and min(capabilities) >= _TENSOR_CORE_CAPABILITY
    return "mixed_float16" if has_tensor_cores else "float32"


def choose_xla(config: TrainConfig) -> bool:
    """Choose whether XLA compiles the training step.

    Args:
        config: `xla` is `auto`, `on` or `off`.

    Returns:
        True to compile; `auto` compiles on one GPU. On CPU it halves this network's speed, and
        several replicas reduce their gradients with ops that XLA does not compile.
    """
    if config.xla != "auto":
        return config.xla == "on"
    return len(tf.config.list_logical_devices("GPU")) == 1


@contextlib.contextmanager
def training_scope(config: TrainConfig) -> Generator[tf.distribute.Strategy]:
    """Seed everything and set the precision, for the length of a `with` block.

    One process runs every stage, so whatever is global is put back: dtype policy, the states of
    Python's and NumPy's random generators, and TensorFlow's op determinism.

    Args:
        config: seed, precision and strategy.

    Yields:
        The strategy to build the model under.
    """
    saved: tuple[Any, ...] = (
        keras.config.dtype_policy(),
        random.getstate(),
        np.random.get_state(),
    )
    was_deterministic = tf_config.is_op_determinism_enabled()
    try:
        keras.utils.set_random_seed(config.seed)
        tf.config.experimental.enable_op_determinism()
        keras.config.set_dtype_policy(choose_precision(config))
        yield choose_strategy(config)
    finally:
        keras.config.set_dtype_policy(saved[0])
        random.setstate(saved[1])
        np.random.set_state(saved[2])
        if not was_deterministic:
            tf_config.disable_op_determinism()
