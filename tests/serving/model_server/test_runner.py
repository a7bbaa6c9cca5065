"""Threads that call the model: time limits, of the server and of the client."""

import asyncio
import shutil
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.model_server.errors import Code, ServingError
from serving.model_server.flags import ServerFlags
from serving.model_server.loader import load_options, load_servable
from serving.model_server.request_scope import deadline_scope, time_limit_ms
from serving.model_server.runner import ModelCall, ThreadRunner


@pytest.fixture(scope="module")
def servable(tmp_path_factory, affine_folders):
    folder = shutil.copytree(affine_folders[2], tmp_path_factory.mktemp("runner") / "1")
    servable = load_servable("m", 1, folder, load_options(ServerFlags(model_base_path="/m")))
    yield servable
    servable.close()


def run(servable, runner, signature, deadline_seconds, **inputs):
    async def call():
        with deadline_scope(deadline_seconds):
            return await runner.run(ModelCall(servable, servable.signature(signature), inputs))

    return asyncio.run(call())


@pytest.mark.parametrize(("limit_ms", "deadline_seconds"), [(200, None), (0, 0.2), (60_000, 0.2)])
def test_the_shorter_limit_ends_the_call(servable, gate, limit_ms, deadline_seconds):
    runner = ThreadRunner("test", 1, limit_ms)
    started = time.monotonic()
    with pytest.raises(ServingError) as caught:
        run(servable, runner, "hold", deadline_seconds, gate=np.array([str(gate.path)], object))
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert 0.15 < time.monotonic() - started < 2
    outputs = run(servable, runner, "", None, x=np.float32([1]))
    np.testing.assert_array_equal(outputs["y"], np.float32([2.5]))
    assert servable.is_idle()


def test_a_deadline_that_passed_in_the_queue_never_reaches_the_model(servable, gate):
    with pytest.raises(ServingError, match="the deadline passed before the model ran"):
        run(
            servable, ThreadRunner("test", 1, 0), "hold", 0, gate=np.array([str(gate.path)], object)
        )
    assert not gate.path.with_suffix(".reached").exists()


@pytest.mark.parametrize(
    ("limit_ms", "deadline_seconds", "expected_ms"),
    [(0, None, 0), (500, None, 500), (0, 0.0421, 43), (0, 1.2345, 1300), (500, 60, 500)],
)
def test_limits_combine_and_deadlines_are_rounded_up(limit_ms, deadline_seconds, expected_ms):
    with deadline_scope(deadline_seconds):
        assert time_limit_ms(limit_ms) == pytest.approx(expected_ms, abs=1)


def test_deadlines_make_few_different_limits():
    limits = set()
    for milliseconds in range(1, 100_000, 7):
        with deadline_scope(milliseconds / 1000 + 1e-4):
            limits.add(time_limit_ms(0))
    assert len(limits) < 400


def test_a_client_that_gives_up_frees_its_thread(monitored, gate):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "half"
    request.model_spec.signature_name = "hold"
    request.inputs["gate"].CopyFrom(tf.make_tensor_proto([str(gate.path)]))
    with monitored.channel() as channel, monitored.client() as client:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request, timeout=1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        # There is one thread, and the gate stays shut.
        assert client.predict_grpc("half", {"x": np.float32([1])})["y"] == [2.5]
