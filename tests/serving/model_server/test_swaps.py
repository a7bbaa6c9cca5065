"""Thousands of requests while versions are swapped: none is lost, no answer mixes two versions."""

import asyncio
import itertools
import shutil
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

NUM_REQUESTS = 10_000
NUM_CALLERS = 32
VERSIONS = range(1, 5)
MIN_SWAPS = 6
TIMEOUT_SECONDS = 30
START_SECONDS = 120


class Stamped(tf.Module):
    """Every output, of each of its dtypes, names the version that computed it."""

    def __init__(self, version):
        super().__init__()
        self.first, self.second = tf.Variable(float(version)), tf.Variable(float(version))
        self.number, self.name_text = tf.Variable(version), tf.Variable(f"version {version}")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def stamp(self, x):
        return {
            "first": self.first + 0.0 * x,
            "second": self.second + 0.0 * x,
            "number": tf.fill(tf.shape(x), self.number),
            "text": tf.fill(tf.shape(x), self.name_text),
        }


def versions_in(response):
    """Every version that an answer names."""
    outputs = response.outputs
    named = {*outputs["first"].float_val, *outputs["second"].float_val, *outputs["number"].int_val}
    named |= {int(text.split()[1]) for text in outputs["text"].string_val}
    return named | {response.model_spec.version.value}


@pytest.fixture(scope="module")
def stamped_folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("stamped")
    for version in VERSIONS:
        module = Stamped(version)
        tf.saved_model.save(module, str(root / str(version)), signatures=module.stamp)
    return root


class Callers(threading.Thread):
    """Call the newest version from many coroutines until told to stop."""

    def __init__(self, port):
        super().__init__()
        self.port, self.stopping = port, threading.Event()
        self.answers, self.errors = [], []
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "stamped"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros(3, np.float32)))
        self.request = request.SerializeToString()

    def run(self):
        asyncio.run(self.call_all())

    async def call_all(self):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            await asyncio.gather(*(self.call(predict) for _ in range(NUM_CALLERS)))

    async def call(self, predict):
        while not self.stopping.is_set():
            try:
                self.answers.append(await predict(self.request, timeout=TIMEOUT_SECONDS))
            except grpc.RpcError as error:
                self.errors.append(error)


def test_ten_thousand_requests_through_swaps(tmp_path, launch, stamped_folders):
    base_path = tmp_path / "stamped"
    base_path.mkdir()

    def push(version):
        beside = base_path / f".{version}.part"
        shutil.copytree(stamped_folders / str(version), beside)
        beside.rename(base_path / str(version))

    push(1)
    server = launch("--model_name=stamped", f"--model_base_path={base_path}")
    with server.client() as client:
        client.wait_until_available("stamped", START_SECONDS, server.is_alive)
    callers = Callers(server.port)
    callers.start()
    num_swaps = 0
    try:
        # Up by pushing the next version, down by deleting the newest, and again.
        newest = VERSIONS[-1]
        for version in itertools.cycle([*VERSIONS[1:], *reversed(VERSIONS[:-1])]):
            if num_swaps >= MIN_SWAPS and len(callers.answers) >= NUM_REQUESTS:
                break
            if version + 1 <= newest and (base_path / str(version + 1)).exists():
                shutil.rmtree(base_path / str(version + 1))
            else:
                push(version)
            expected = dict.fromkeys(VERSIONS, "END") | {version: "AVAILABLE"}
            seen = server.states("stamped").keys() | {version}
            server.wait_for_states("stamped", {v: expected[v] for v in sorted(seen)})
            num_swaps += 1
    finally:
        callers.stopping.set()
        callers.join()
    assert callers.errors == []
    assert len(callers.answers) >= NUM_REQUESTS
    named = [versions_in(predict_pb2.PredictResponse.FromString(a)) for a in callers.answers]
    assert all(len(versions) == 1 for versions in named)
    assert set.union(*named) == set(VERSIONS)
    assert server.stop() == 0
