"""Batching in a real server process, switched on by flags."""

import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 120


def write_config(file, models):
    entries = [
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" }}'
        for name, path in models.items()
    ]
    file.write_text("model_config_list { " + "\n".join(entries) + " }")
    return file


def make_request(model, signature="", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


def floats(count):
    return np.arange(count, dtype=np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory, push):
    root = tmp_path_factory.mktemp("batched")
    for name, version in {"two": 2, "three": 3, "swapped": 1}.items():
        (root / name).mkdir()
        push(root / name, version)
    return root


@pytest.fixture(scope="module")
def server(models, launch):
    """One thread, batches of eight rows, and one of them may wait."""
    parameters = models / "batching.config"
    parameters.write_text(
        "max_batch_size { value: 8 } max_enqueued_batches { value: 1 } "
        "num_batch_threads { value: 1 } allowed_batch_sizes: [1, 4, 8]"
    )
    folders = {name: models / name for name in ("two", "three", "swapped")}
    running = launch(
        f"--model_config_file={write_config(models / 'models.config', folders)}",
        "--enable_batching",
        f"--batching_parameters_file={parameters}",
        "--max_num_load_retries=0",
    )
    with running.client() as client:
        client.wait_until_available("two", START_SECONDS, running.is_alive)
    return running


@pytest.fixture(scope="module")
def prediction(server):
    with server.channel() as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_both_protocols_answer_and_refuse_too_many_rows(server, prediction):
    response = prediction.Predict(make_request("two", x=floats(3)))
    assert list(response.outputs["y"].float_val) == [2.0, 2.5, 3.0]
    status, answer = server.post("/v1/models/two:predict", {"instances": [4.0]})
    assert (status, answer) == (200, {"predictions": [4.0]})
    with pytest.raises(grpc.RpcError) as caught:
        prediction.Predict(make_request("two", x=floats(9)))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    message = "Task size 9 is larger than maximum input batch size 8"
    assert caught.value.details() == message
    answer = server.post("/v1/models/two:predict", {"instances": floats(9).tolist()})
    assert answer == (400, {"error": message})


def test_a_scalar_has_no_batch_dimension(server):
    status, answer = server.post("/v1/models/two:predict", {"inputs": 1.0})
    assert status == 400
    assert answer == {"error": "Batching Run() input tensors must have at least one dimension"}


def test_a_full_queue_is_unavailable_and_a_cancelled_call_makes_room(server, prediction, gate):
    hold = prediction.Predict.future(
        make_request("two", "hold", gate=np.array([str(gate.path).encode()], object))
    )
    gate.wait_until_reached()
    waiting = prediction.Predict.future(make_request("two", x=floats(8)))
    assert refused_when_full(prediction).details().startswith("The batch scheduling queue")
    status, answer = server.post("/v1/models/two:predict", {"instances": [4.0]})
    assert status == 503
    assert "max_enqueued_batches is 1" in answer["error"]
    # Another queue has room of its own.
    other = prediction.Predict.future(make_request("three", x=floats(1)))
    waiting.cancel()
    comes = answered_when_there_is_room(prediction)
    gate.open()
    assert list(hold.result(30).outputs["y"].float_val) == [2.0]
    assert list(other.result(30).outputs["y"].float_val) == [3.0]
    assert list(comes.result(30).outputs["y"].float_val) == [2.0]


def refused_when_full(prediction):
    # The request that fills the queue is on its way; until it arrived another one would wait.
    deadline = time.monotonic() + 30
    while True:
        assert time.monotonic() < deadline, "the queue did not fill"
        try:
            prediction.Predict(make_request("two", x=floats(1)), timeout=0.2)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return error


def answered_when_there_is_room(prediction):
    deadline = time.monotonic() + 30
    while True:
        assert time.monotonic() < deadline, "the queue stayed full"
        call = prediction.Predict.future(make_request("two", x=floats(1)))
        try:
            call.result(timeout=0.2)
        except grpc.FutureTimeoutError:
            return call  # it waits in the queue
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


def test_two_models_at_once_give_their_own_answers(prediction):
    def call(number):
        model, offset = (("two", 2.0), ("three", 3.0))[number % 2]
        response = prediction.Predict(make_request(model, x=np.float32([number])))
        return list(response.outputs["y"].float_val) == [number / 2 + offset]

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(call, range(300)))


def test_a_version_is_replaced_under_load_without_a_failed_call(server, prediction, models, push):
    stopping = threading.Event()

    def load():
        answers = set()
        while not stopping.is_set():
            response = prediction.Predict(make_request("swapped", x=np.float32([0])))
            version = response.model_spec.version.value
            answers.add((version, response.outputs["y"].float_val[0]))
        return answers

    with ThreadPoolExecutor(6) as pool:
        loads = [pool.submit(load) for _ in range(6)]
        push(models / "swapped", 4)
        try:
            server.wait_for_states("swapped", {4: "AVAILABLE", 1: "END"})
        finally:
            stopping.set()
        answers = set().union(*[load.result(30) for load in loads])
    assert answers == {(1, 1.0), (4, 4.0)}


def test_models_bring_their_own_parameters(tmp_path, launch, affine_folders):
    def add(name, offset, parameters=None):
        folder = tmp_path / name / str(offset)
        beside = shutil.copytree(affine_folders[offset], tmp_path / f".{name}{offset}")
        if parameters is not None:
            (beside / "batching_params.pbtxt").write_text(parameters)
        folder.parent.mkdir(exist_ok=True)
        beside.rename(folder)

    add("batched", 1, "max_batch_size { value: 2 }")
    add("plain", 1)
    names = {name: tmp_path / name for name in ("batched", "plain")}
    server = launch(
        f"--model_config_file={write_config(tmp_path / 'models.config', names)}",
        "--enable_batching",
        "--enable_per_model_batching_parameters",
        "--max_num_load_retries=0",
    )
    with server.client() as client:
        client.wait_until_available("batched", START_SECONDS, server.is_alive)
    three_rows = {"instances": [0.0, 0.0, 0.0]}
    assert server.post("/v1/models/batched:predict", {"instances": [0.0]})[0] == 200
    status, answer = server.post("/v1/models/batched:predict", three_rows)
    assert (status, answer["error"]) == (
        400,
        "Task size 3 is larger than maximum input batch size 2",
    )
    assert server.post("/v1/models/plain:predict", three_rows)[0] == 200
    assert server.post("/v1/models/plain:predict", {"inputs": 1.0}) == (200, {"outputs": 1.5})
    add("batched", 2, "max_batch_size { value: 4 } allowed_batch_sizes: 2")
    server.wait_for_states("batched", {2: "END", 1: "AVAILABLE"})
    _, status = server.get("/v1/models/batched/versions/2")
    (entry,) = status["model_version_status"]
    assert entry["status"]["error_code"] == "INVALID_ARGUMENT"
    assert "Last entry in allowed_batch_sizes must match max_batch_size" in json.dumps(entry)
    assert server.stop() == 0


def test_a_file_that_does_not_parse_ends_the_start(tmp_path):
    file = tmp_path / "parameters"
    file.write_text("max_batch_size: 4")
    command = [sys.executable, "-m", "serving.model_server", f"--model_base_path={tmp_path}"]
    result = subprocess.run(
        [*command, "--enable_batching", f"--batching_parameters_file={file}"],
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 255
    assert "Error parsing text-format tensorflow.serving.BatchingParameters: 1:" in result.stderr
    assert "Failed to start server. Error: INVALID_ARGUMENT: " in result.stdout
