"""Real requests for a trial serving, and the same ones as warm-up records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
from tfx.dsl.io import fileio

from data.examples import decode_example
from schema.features import (
    IMAGE_ENCODED,
    INPUT_EXAMPLES,
    INPUT_IMAGE_BYTES,
    Signature,
    Split,
)

SERVED_INPUTS = {
    Signature.SERVING_DEFAULT: INPUT_IMAGE_BYTES,
    Signature.SERVE_EXAMPLES: INPUT_EXAMPLES,
}
"""The signatures that are tried, and the name of their input."""


def read_examples(examples_uri: str, count: int) -> list[bytes]:
    """Read raw examples of the test split, which no model has trained on.

    Args:
        examples_uri: root of the Examples artifact.
        count: how many; fewer when there are not as many.

    Returns:
        Serialized examples.
    """
    folder = f"{examples_uri}/Split-{Split.TEST}"
    files = sorted(f"{folder}/{name}" for name in fileio.listdir(folder))
    dataset: Any = tf.data.TFRecordDataset(files).take(count)
    return list(dataset.as_numpy_iterator())


def request_inputs(examples: list[bytes]) -> Iterator[tuple[Signature, dict[str, NDArray[Any]]]]:
    """Make the inputs of one request per example and signature.

    Args:
        examples: serialized raw examples.

    Yields:
        Signature and its inputs: one object array of shape (1,) that holds bytes.
    """
    for example in examples:
        image_bytes = decode_example(example)[IMAGE_ENCODED]
        for signature, name in SERVED_INPUTS.items():
            value = image_bytes if name == INPUT_IMAGE_BYTES else example
            yield signature, {name: np.array([value], object)}


def write_warmup_requests(path: str | Path, examples: list[bytes], model_name: str) -> None:
    """Write the requests that a model server replays before it answers anybody.

    Args:
        path: file to write, perhaps in a bucket, `tf_serving_warmup_requests` in `assets.extra/`.
        examples: serialized raw examples.
        model_name: name under which the model is served.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in request_inputs(examples):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value, tf.string))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
