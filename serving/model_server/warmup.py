"""Warm-up: recorded requests run before a version answers, so that no client waits for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from schema.features import ASSETS_EXTRA_FOLDER, WARMUP_FILENAME
from serving.model_server.errors import Code, InvalidArgumentError, ServingError
from serving.model_server.inference import PLANS
from serving.model_server.servable import Servable
from serving.model_server.tensor_proto import read_tensor

MAX_RECORDS: Final = 1000


def replay_warmup_requests(servable: Servable, path: Path, iterations: int) -> int:
    """Run the warm-up requests that a version brings along.

    Args:
        servable: the loaded version.
        path: its folder; without a warm-up file nothing happens.
        iterations: runs of each request, at least 1.

    Returns:
        How many requests there were.

    Raises:
        InvalidArgumentError: too many records; the load fails.
        ServingError: a record that cannot be read or a request that fails; the load fails.
    """
    file = path / ASSETS_EXTRA_FOLDER / WARMUP_FILENAME
    if not file.is_file():
        return 0
    num_records = 0
    for record in _read_records(file):
        num_records += 1
        if num_records > MAX_RECORDS:
            raise InvalidArgumentError(
                f"Number of warmup records has exceeded the maximum: {MAX_RECORDS} (file {file})"
            )
        _replay(servable, record, iterations)
    return num_records


def _read_records(file: Path) -> Iterator[bytes]:
    try:
        yield from tf.compat.v1.io.tf_record_iterator(str(file))
    except tf.errors.DataLossError as error:
        raise ServingError(
            Code.DATA_LOSS, f"warm-up file {file} is damaged: {error.message}. Write it anew."
        ) from error


def _replay(servable: Servable, record: bytes, iterations: int) -> None:
    log: Any = prediction_log_pb2.PredictionLog()
    try:
        log.ParseFromString(record)
    except DecodeError as error:
        raise InvalidArgumentError(f"Failed to parse warmup record: {error}") from error
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        _replay_prediction(servable, log.predict_log.request, iterations)
    elif kind in PLANS:
        inference = PLANS[kind](servable, getattr(log, kind).request)
        outputs = inference.signature.choose_outputs(inference.output_filter)
        for _ in range(iterations):
            inference.make_response(inference.signature.run(inference.inputs, outputs, 0))
    else:
        raise ServingError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


def _replay_prediction(servable: Servable, request: Any, iterations: int) -> None:
    signature = servable.signature(request.model_spec.signature_name)
    signature.check_input_names(list(request.inputs))
    inputs = {
        alias: read_tensor(proto, signature.inputs[alias])
        for alias, proto in request.inputs.items()
    }
    outputs = signature.choose_outputs(list(request.output_filter))
    for _ in range(iterations):
        signature.run(inputs, outputs, 0)
