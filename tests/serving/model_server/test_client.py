"""The client, against a real server."""

import numpy as np
import pytest

from configs.errors import UpstreamError, UpstreamTimeoutError
from serving.model_server.client import ModelServerClient


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client


@pytest.fixture
def nobody():
    with ModelServerClient(
        grpc_address="127.0.0.1:1", rest_address="127.0.0.1:1", timeout_seconds=1
    ) as client:
        yield client


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("serving_default", {"x": np.float32([[0.1, 2], [3, np.nan]])}),
        ("pair", {"a": np.float32([1]), "b": np.int32([2])}),
        ("image", {"image": np.array([b"\xff\0", b"b"], object)}),
        ("text", {"text": np.array([b"a", "\u00e9".encode()], object)}),
        ("echo_bool", {"value": np.array([True, False])}),
    ],
)
def test_both_protocols_give_the_same_arrays(client, signature, inputs):
    over_grpc = client.predict_grpc("zoo", inputs, signature)
    over_rest = client.predict_rest("zoo", inputs, signature)
    assert over_grpc.keys() == over_rest.keys()
    for alias, array in over_grpc.items():
        assert array.dtype == over_rest[alias].dtype
        np.testing.assert_array_equal(array, over_rest[alias])


def test_the_default_signature(client):
    np.testing.assert_array_equal(client.predict_rest("half", {"x": [2.0]})["y"], np.float32([3.0]))


def test_waiting_returns_the_highest_version(client):
    assert client.wait_until_available("labelled", 10) == 2


@pytest.mark.parametrize("method", ["predict_grpc", "predict_rest"])
def test_error_answers(client, method):
    with pytest.raises(UpstreamError, match=r"Servable not found for request: Latest\(nobody\)"):
        getattr(client, method)("nobody", {"x": np.float32([1])})


def test_signatures_that_are_not_there(client):
    with pytest.raises(UpstreamError, match=r"has no signature 'x', expected one of .*'hold'"):
        client.predict_rest("half", {"x": [1.0]}, "x")


@pytest.mark.parametrize("method", ["predict_grpc", "predict_rest"])
def test_no_server(nobody, method):
    with pytest.raises(UpstreamError, match=r"Connection refused|UNAVAILABLE"):
        getattr(nobody, method)("m", {"x": np.float32([1])})


def test_waiting_in_vain(nobody):
    with pytest.raises(UpstreamTimeoutError, match=r"'m' at .* not AVAILABLE within 0.2 s; last"):
        nobody.wait_until_available("m", 0.2)
    with pytest.raises(UpstreamError, match="ended before 'm' was available"):
        nobody.wait_until_available("m", 10, is_alive=lambda: False)


def test_calls_that_take_too_long(server, gate):
    with ModelServerClient(
        grpc_address=f"127.0.0.1:{server.port}",
        rest_address=f"127.0.0.1:{server.rest_port}",
        timeout_seconds=0.3,
    ) as client:
        inputs = {"gate": np.array([str(gate.path).encode()], object)}
        with pytest.raises(UpstreamTimeoutError, match="DEADLINE_EXCEEDED"):
            client.predict_grpc("witness", inputs, "hold")
        with pytest.raises(UpstreamTimeoutError, match=r"no answer within 0.3 s"):
            client.predict_rest("witness", inputs, "hold")
