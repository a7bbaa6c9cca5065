"""Prometheus metrics: of a real server process under requests, and of the object behind them."""

import asyncio
import dataclasses
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.model_server.errors import Code, InvalidArgumentError
from serving.model_server.metrics import UNKNOWN_MODEL, ServerMetrics

PATH = "/metrics/here"
PREFIX = ":tensorflow:serving:"
HALF = "/v1/models/half:predict"


def make_request(model, *values, signature=""):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32(values)))
    return request


def scrape(server):
    """Name and labels -> value."""
    status, headers, body = server.request("GET", PATH)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    return parse(body)


def parse(page):
    # The library's reader, like its writer, wants `_total` at the end of a counter's name.
    return {
        (
            sample.name.removeprefix(PREFIX).removesuffix("_total"),
            *sorted(sample.labels.items()),
        ): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def count(samples, status, model="half"):
    return samples.get(("request_count", ("model_name", model), ("status", status)), 0)


def latency_count(samples, api, entrypoint, model="half"):
    labels = ("API", api), ("entrypoint", entrypoint), ("model_name", model)
    return samples.get(("request_latency_count", *labels), 0)


def runtime_count(samples):
    labels = ("API", "Predict"), ("model_name", "half"), ("runtime", "TF1")
    return samples.get(("runtime_latency_count", *labels), 0)


def test_every_metric_has_its_type_before_any_traffic():
    page = ServerMetrics(lambda _: True).render().decode()
    types = [line.removeprefix(f"# TYPE {PREFIX}") for line in page.splitlines() if line[0] == "#"]
    assert types == [
        "request_count counter",
        "request_latency histogram",
        "runtime_latency histogram",
        "request_example_counts histogram",
        "request_example_count_total counter",
        "model_warmup_latency histogram",
        "model_warmup_records_read counter",
        "batching_session:queuing_latency histogram",
        "batching_session:wrapped_run_count counter",
        "batching_session:input_batch_size histogram",
        "batching_session:processed_batch_size histogram",
        "batching_session:padding_size histogram",
    ]


def test_requests_are_counted_by_status_and_timed_when_they_succeed(monitored):
    stub_request = make_request("half", 1.0)
    before = scrape(monitored)
    with monitored.channel() as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        stub.Predict(stub_request)
        with pytest.raises(grpc.RpcError):
            stub.Predict(make_request("half", 1.0, signature="none"))
    assert monitored.post(HALF, {"instances": [1.0]})[0] == 200
    assert monitored.post(HALF, {"instances": [1.0]})[0] == 200
    assert monitored.post(HALF, b"{")[0] == 400
    assert monitored.get("/v1/models/half")[0] == 200
    after = scrape(monitored)
    changes = {
        status: count(after, status) - count(before, status)
        for status in ("OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION")
    }
    assert changes == {"OK": 3, "INVALID_ARGUMENT": 1, "FAILED_PRECONDITION": 1}
    assert latency_count(after, "Predict", "GRPC") - latency_count(before, "Predict", "GRPC") == 1
    assert latency_count(after, "predict", "REST") - latency_count(before, "predict", "REST") == 2
    assert runtime_count(after) - runtime_count(before) == 3


def test_buckets_are_those_of_tf_serving(monitored):
    assert monitored.post(HALF, {"instances": [1.0]})[0] == 200
    _, _, page = monitored.request("GET", PATH)
    start = f'{PREFIX}request_latency_bucket{{model_name="half",API="predict",entrypoint="REST",'
    limits = [
        line.removeprefix(start).split('"')[1]
        for line in page.decode().splitlines()
        if line.startswith(start)
    ]
    assert limits[:6] == ["10", "18", "32.4", "58.32", "104.976", "188.957"]
    assert (len(limits), limits[-2:]) == (34, ["1.47476e+09", "+Inf"])


def test_unknown_models_share_one_label(monitored):
    before = count(scrape(monitored), "NOT_FOUND", UNKNOWN_MODEL)
    for index in range(3):
        assert monitored.post(f"/v1/models/m{index}:predict", {"inputs": [1]})[0] == 404
    samples = scrape(monitored)
    assert count(samples, "NOT_FOUND", UNKNOWN_MODEL) - before == 3
    assert not any("m1" in str(key) for key in samples)


def test_examples_of_classifications_and_regressions_are_counted(monitored):
    body = {"signature_name": "regress", "examples": [{}, {}, {}]}
    assert monitored.post("/v1/models/heads:regress", body)[0] == 200
    samples = scrape(monitored)
    assert samples[("request_example_count", ("model", "heads"))] == 3
    assert samples[("request_example_counts_count", ("model", "heads"))] == 1
    assert latency_count(samples, "regress", "REST", "heads") == 1


def test_warmup_is_counted(monitored):
    samples = scrape(monitored)
    (latency,) = [key for key in samples if key[0] == "model_warmup_latency_count"]
    assert dict(latency[1:])["status"] == "OK"
    (records,) = [key for key in samples if key[0] == "model_warmup_records_read"]
    assert samples[records] == 1
    assert dict(records[1:])["model_path"].endswith("/half/1")


def test_without_the_flag_there_are_no_metrics(server):
    assert server.request("GET", "/monitoring/prometheus/metrics")[0] == 404


@dataclasses.dataclass(frozen=True)
class Batch:
    thread_pool_name: str = "pool"
    queuing_seconds: tuple[float, ...] = (0.001, 0.002)
    input_batch_sizes: tuple[int, ...] = (1, 2)
    processed_batch_size: int = 4
    padding_size: int = 1


def test_batches_are_counted():
    metrics = ServerMetrics(lambda _: True)
    metrics.observe_batch(Batch())
    samples = parse(metrics.render())
    batching = {
        (key[0].removeprefix("batching_session:"), *key[1:]): value
        for key, value in samples.items()
        if "bucket" not in key[0]
    }
    pool, size = ("thread_pool_name", "pool"), ("execution_batch_size", "4")
    assert batching[("queuing_latency_count", pool)] == 2
    assert batching[("queuing_latency_sum", pool)] == pytest.approx(3000)
    assert batching[("wrapped_run_count",)] == 1
    assert batching[("input_batch_size_sum",)] == 3
    assert batching[("processed_batch_size_sum",)] == 4
    assert batching[("padding_size_sum", size)] == 1


def test_examples_are_counted():
    metrics = ServerMetrics(lambda _: True)
    metrics.observe_examples("m", 3)
    metrics.observe_examples("m", 4)
    samples = parse(metrics.render())
    assert samples[("request_example_count", ("model", "m"))] == 7
    assert samples[("request_example_counts_bucket", ("le", "4"), ("model", "m"))] == 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidArgumentError("x"), Code.INVALID_ARGUMENT),
        (asyncio.CancelledError(), Code.CANCELLED),
        (ZeroDivisionError(), Code.UNKNOWN),
    ],
)
def test_what_a_request_raises_is_its_status_and_is_raised_on(error, status):
    metrics = ServerMetrics(lambda _: True)
    with pytest.raises(type(error)), metrics.request('a"b\\c\n', "predict", "REST"):
        raise error
    samples = parse(metrics.render())
    assert count(samples, status.name, 'a"b\\c\n') == 1
    assert not any(key[0].startswith("request_latency") for key in samples)


def test_two_servers_in_one_process_count_apart():
    first, second = ServerMetrics(lambda _: True), ServerMetrics(lambda _: True)
    with first.request("m", "predict", "REST"):
        time.sleep(0)
    assert count(parse(first.render()), "OK", "m") == 1
    assert count(parse(second.render()), "OK", "m") == 0
