"""Metrics: what Prometheus reads, of one process and of several."""

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from serving.gateway.observability.metrics import GatewayMetrics

ROOT = Path(__file__).resolve().parents[4]
PREFIX = "loupe_gateway_"


def parse(page):
    return {
        (sample.name.removeprefix(PREFIX), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_everything_that_is_observed_is_exported():
    metrics = GatewayMetrics()
    metrics.observe_request(path="/v1/predict", method="POST", status=200, seconds=0.012)
    metrics.observe_prediction(route="stable", version=7, seconds=0.011, probability=0.93)
    metrics.observe_queue_wait(0.001)
    metrics.observe_model_call(outcome="ok", seconds=0.004)
    metrics.observe_image(image_format="jpeg", num_bytes=20_000, num_pixels=224 * 224)
    metrics.count_error("throttled")
    metrics.spool_records.set(5)
    samples = parse(metrics.render())
    request = ("method", "POST"), ("path", "/v1/predict"), ("status", "200")
    assert samples["request_seconds_count", *request] == 1
    assert samples["request_seconds_bucket", ("le", "0.01"), *request] == 0
    assert samples["request_seconds_bucket", ("le", "0.015"), *request] == 1
    assert samples["prediction_seconds_sum", ("route", "stable"), ("version", "7")] == 0.011
    assert samples["probability_bucket", ("le", "0.9"), ("version", "7")] == 0
    assert samples["probability_bucket", ("le", "0.95"), ("version", "7")] == 1
    assert samples["queue_wait_seconds_sum",] == 0.001
    assert samples["model_server_seconds_count", ("outcome", "ok")] == 1
    assert samples["image_bytes_sum", ("format", "jpeg")] == 20_000
    assert samples["image_pixels_sum",] == 224 * 224
    assert samples["errors_total", ("code", "throttled")] == 1
    assert samples["spool_records",] == 5
    assert metrics.read("errors_total", code="throttled") == 1
    assert metrics.read("errors_total", code="other") == 0


def test_two_gateways_in_a_process_count_apart():
    first, second = GatewayMetrics(), GatewayMetrics()
    first.count_error("x")
    assert (first.read("errors_total", code="x"), second.read("errors_total", code="x")) == (1, 0)


def test_the_breaker_has_one_state():
    metrics = GatewayMetrics()
    assert metrics.read("breaker_state", state="closed") == 1
    metrics.set_breaker("open")
    states = [metrics.read("breaker_state", state=s) for s in ("closed", "open", "half_open")]
    assert states == [0, 1, 0]


def test_callers_make_no_new_series_with_methods():
    metrics = GatewayMetrics()
    for method in ("PURGE", "X" * 1000):
        metrics.observe_request(path="/x", method=method, status=405, seconds=0.1)
    labels = {"path": "/x", "method": "OTHER", "status": "405"}
    assert metrics.read("request_seconds_count", **labels) == 2


WORKER = """
import sys
from pathlib import Path
from serving.gateway.observability.metrics import GatewayMetrics
metrics = GatewayMetrics(Path(sys.argv[1]))
metrics.count_error("x")
metrics.spool_records.set(3)
metrics.keys_age_seconds.set(float(sys.argv[2]))
sys.stdin.readline()
print(metrics.render().decode(), flush=True)
sys.stdin.readline()
"""
STARTER = """
import sys, subprocess
from pathlib import Path
from serving.gateway.observability.metrics import forget_process, share_metrics
folder = Path(sys.argv[1])
share_metrics(folder)
pipe = subprocess.PIPE
start = lambda age: subprocess.Popen(
    [sys.executable, "-c", sys.argv[2], str(folder), age], stdin=pipe, stdout=pipe, text=True
)
first, second = start("1"), start("9")
assert second.communicate("\\n\\n")[0]
forget_process(folder, second.pid)
print(first.communicate("\\n\\n")[0])
"""


KILLER = """
import sys, subprocess
from pathlib import Path
from serving.gateway.observability.metrics import share_metrics
folder = Path(sys.argv[1])
share_metrics(folder)
pipe = subprocess.PIPE
first, second = [
    subprocess.Popen(
        [sys.executable, "-c", sys.argv[2], str(folder), "1"], stdin=pipe, stdout=pipe, text=True
    )
    for _ in range(2)
]
second.stdin.write("\\n")
second.stdin.flush()
while "spool_records 6" not in (line := second.stdout.readline()):
    if "spool_records 3" in line:  # the first one had not counted yet
        break
second.kill()
second.communicate()
print(first.communicate("\\n\\n")[0])
"""


def run_workers(starter, folder):
    """What a starter prints of the metrics of its workers."""
    answer = subprocess.run(
        [sys.executable, "-c", starter, str(folder), WORKER],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr.decode()
    return parse(answer.stdout)


def test_a_worker_that_was_killed_reports_nothing_any_more(tmp_path):
    samples = run_workers(KILLER, tmp_path)
    assert samples["errors_total", ("code", "x")] == 2  # what it counted stays
    assert samples["spool_records",] == 3


def test_workers_of_one_port_count_together(tmp_path):
    (tmp_path / "counter_1.db").write_bytes(b"of a run before")
    samples = run_workers(STARTER, tmp_path)
    assert samples["errors_total", ("code", "x")] == 2
    assert samples["spool_records",] == 3
    assert samples["keys_age_seconds",] == 1


def test_answers_are_counted_by_the_class_of_their_status():
    metrics = GatewayMetrics()
    for path, status in (("/v1/predict", 200), ("/v1/predict", 204), ("/v1/models", 404)):
        metrics.observe_request(path=path, method="GET", status=status, seconds=0.1)
    metrics.observe_request(path="/metrics", method="GET", status=200, seconds=0.1)
    assert metrics.count_statuses(("/v1/",)) == {"2xx": 2, "4xx": 1}
