"""What TensorFlow sessions are told: threads, GPU memory, and what a file adds."""

from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format

from configs.errors import ConfigError
from serving.model_server.batching_parameters import BatchingParameters, count_cpus
from serving.model_server.flags import ServerFlags


def session_config(flags: ServerFlags, batching: BatchingParameters | None) -> Any:
    """Read the flags that concern TensorFlow's sessions.

    A flag rules over `--tensorflow_session_config_file`, and the file over these defaults: threads
    that wait do not spin, and batches that run at once share the cores instead of each using all.
    On the reference CNN and 2 cores that takes a sixth off the CPU of a full batch, and half off
    the time of a lone image: see docs/model_server.md.

    Args:
        flags: the command line.
        batching: how requests are batched; None for one by one.

    Returns:
        The ConfigProto.

    Raises:
        ConfigError: the file cannot be read or parsed.
    """
    config = tf.compat.v1.ConfigProto()
    config.experimental.disable_thread_spinning = True
    # Several servers share a GPU: take its memory as it is needed.
    config.gpu_options.allow_growth = True
    if batching is not None:
        config.intra_op_parallelism_threads = max(1, count_cpus() // batching.num_batch_threads)
    if flags.tensorflow_session_config_file:
        _merge_file(flags.tensorflow_session_config_file, config)
    both = flags.tensorflow_session_parallelism
    if intra_op := flags.tensorflow_intra_op_parallelism or both:
        config.intra_op_parallelism_threads = intra_op
    if inter_op := flags.tensorflow_inter_op_parallelism or both:
        config.inter_op_parallelism_threads = inter_op
    if flags.per_process_gpu_memory_fraction:
        config.gpu_options.per_process_gpu_memory_fraction = flags.per_process_gpu_memory_fraction
    return config


def _merge_file(path: str, config: Any) -> None:
    try:
        text_format.Merge(Path(path).read_text(encoding="utf-8"), config)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        raise ConfigError(
            f"Error parsing text-format tensorflow.ConfigProto: {error} (file {path!r}). "
            "Correct --tensorflow_session_config_file."
        ) from error
