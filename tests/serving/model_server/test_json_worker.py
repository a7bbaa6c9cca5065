"""Large JSON bodies, read in a process of their own."""

import asyncio
import json
import threading
import time

import numpy as np
import pytest

from serving.model_server.errors import Code, ServingError
from serving.model_server.json_predict import Format
from serving.model_server.json_worker import JsonWorker, is_slow_to_read
from serving.model_server.servable import Signature, TensorSpec

HALF = "/v1/models/half:predict"


def make_signature(*specs):
    inputs = {spec.alias: spec for spec in specs}
    return Signature("serving_default", "", inputs, {}, lambda *_: [])


class Post(threading.Thread):
    """A request that is sent in another thread."""

    def __init__(self, server, body):
        super().__init__()
        self.server, self.body, self.answer = server, body, None
        self.start()

    def run(self):
        self.answer = self.server.post(HALF, self.body)

    def join(self, timeout=None):
        super().join(timeout)
        return self.answer


FLOAT = TensorSpec("x", np.dtype(np.float32), 1, "float", lambda: "a handle cannot be sent")
STRING = TensorSpec("image", np.dtype(object), 7, "string", None)


@pytest.fixture(scope="module")
def worker():
    worker = JsonWorker()
    yield worker
    worker.close()


def read(worker, document, *specs):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    signatures = {"serving_default": make_signature(*specs)} if specs else {}
    return asyncio.run(worker.read(body, signatures))


def test_numbers_and_strings_come_back_as_tensors(worker):
    request = read(worker, {"instances": [[1, 2.5], [3, 4]]}, FLOAT)
    np.testing.assert_array_equal(request.inputs["x"], np.float32([[1, 2.5], [3, 4]]))
    assert request.inputs["x"].dtype == np.float32
    assert (request.signature_name, request.reply_format) == ("", Format.ROW)
    request = read(worker, {"inputs": [{"b64": "/9j/"}, "text"]}, STRING)
    assert request.inputs["image"].tolist() == [b"\xff\xd8\xff", b"text"]
    assert request.reply_format is Format.COLUMN


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "JSON Parse error: Missing a name for object member."),
        (b'{"instances": [1, "a"]}', "Failed to process element: 1 of 'instances' list."),
        (b"[" * 200_000, "JSON Parse error: Invalid value."),
    ],
)
def test_errors_keep_code_and_words(worker, body, message):
    with pytest.raises(ServingError, match=message) as caught:
        read(worker, body, FLOAT)
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_a_signature_that_is_not_there_is_left_to_the_caller(worker):
    assert read(worker, {"signature_name": "none", "inputs": 1}).signature_name == "none"


def test_a_process_that_died_is_told_and_replaced(worker):
    read(worker, {"inputs": [1]}, FLOAT)
    worker._process.kill()
    with pytest.raises(
        ServingError, match=r"ended \(exit code -9\) over one of 15 bytes"
    ) as caught:
        read(worker, {"inputs": [1]}, FLOAT)
    assert caught.value.code is Code.UNAVAILABLE
    assert read(worker, {"inputs": [1]}, FLOAT).inputs["x"] == [1]


def test_it_ends_when_its_parent_hangs_up():
    worker = JsonWorker()
    read(worker, {"inputs": [1]}, FLOAT)
    process = worker._process
    worker.close()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("body", "is_slow"),
    [
        (b"1," * 30_000, False),
        (b"1," * 40_000, True),
        (b'"%s"' % (b"A" * 2**20), False),
        (b'"%s"' % (b"A" * 2**23), True),
    ],
)
def test_what_is_slow_to_read_is_known_without_reading(body, is_slow):
    assert is_slow_to_read(body) is is_slow


def test_small_requests_are_answered_while_a_large_one_is_parsed(monitored):
    # Keys that are no input are parsed and ignored: no time goes into a large answer.
    numbers = ",".join(map(str, np.random.default_rng(0).random(2_000_000).tolist()))
    body = b'{"instances": [1.0], "ignored": [%s]}' % numbers.encode()
    started = time.monotonic()
    large = Post(monitored, body)
    waits = []
    while large.is_alive():
        asked = time.monotonic()
        assert monitored.post(HALF, {"instances": [2.0]}) == (200, {"predictions": [3.0]})
        waits.append(time.monotonic() - asked)
    assert large.join() == (200, {"predictions": [2.5]})
    seconds = time.monotonic() - started
    assert len(waits) > 10
    assert max(waits) < seconds / 2


def test_a_large_answer_is_exact(monitored):
    values = np.random.default_rng(0).random(100_000, dtype=np.float32)
    status, reply = monitored.post(HALF, {"instances": values.tolist()})
    assert status == 200
    np.testing.assert_array_equal(np.float32(reply["predictions"]), np.float32(0.5) * values + 2)


def test_large_bodies_follow_the_same_rules(monitored):
    numbers = ", 1" * 40_000
    for path, body, status, message in (
        (HALF, f'{{"instances": [1{numbers}', 400, "JSON Parse error"),
        ("/v1/models/none:predict", f'{{"instances": [1{numbers}', 400, "JSON Parse error"),
        ("/v1/models/none:predict", f'{{"instances": [1{numbers}]}}', 404, "Latest(none)"),
        (HALF, f'{{"signature_name": "x", "inputs": [1{numbers}]}}', 400, 'name: "x" not found'),
        (HALF, f'{{"instances": [1{numbers}, "a"]}}', 400, "Failed to process element: 40001"),
    ):
        answer = monitored.post(path, body.encode())
        assert (answer[0], message in answer[1]["error"]) == (status, True), answer
