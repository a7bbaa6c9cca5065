import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import psutil
import pytest
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)

from components.beam_worker import worker_environment
from configs.load import REPOSITORY_ROOT

POOL = [sys.executable, "-m", "components.beam_worker_pool"]


@pytest.fixture
def pool():
    process = subprocess.Popen(
        [*POOL, "--port", "0"], cwd=REPOSITORY_ROOT, stdout=subprocess.PIPE, text=True
    )
    match = re.fullmatch(r"listening on localhost:(\d+)\n", process.stdout.readline())
    yield process, int(match[1])
    process.kill()
    process.wait()
    process.stdout.close()


def request(worker_id="worker-1"):
    endpoint = endpoints_pb2.ApiServiceDescriptor(url="localhost:9")  # nobody answers there
    return beam_fn_api_pb2.StartWorkerRequest(
        worker_id=worker_id, provision_endpoint=endpoint, control_endpoint=endpoint
    )


def started_worker(process, stub):
    assert stub.StartWorker(request(), timeout=20).error == ""
    (worker,) = psutil.Process(process.pid).children()
    return worker


def wait_until_gone(worker):
    until = time.monotonic() + 15
    while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_workers_start_and_stop_on_request(pool):
    process, port = pool
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        stub = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        worker = started_worker(process, stub)
        stop = beam_fn_api_pb2.StopWorkerRequest(worker_id="worker-1")
        stub.StopWorker(stop, timeout=20)
        wait_until_gone(worker)
        stub.StopWorker(stop, timeout=20)  # it has ended already


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_pool(pool, number):
    process, port = pool
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        worker = started_worker(process, beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel))
    process.send_signal(number)
    process.wait(20)
    wait_until_gone(worker)


def test_a_taken_port_is_one_sentence(pool):
    _, port = pool
    done = subprocess.run(
        [*POOL, "--port", str(port)],
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ConfigError: port {port} of 'localhost' cannot be listened on. Stop")


class Provision(beam_provision_api_pb2_grpc.ProvisionServiceServicer):
    def GetProvisionInfo(self, request, context):  # noqa: N802
        self.metadata = dict(context.invocation_metadata())
        info = beam_provision_api_pb2.ProvisionInfo()
        info.pipeline_options.update({"beam:option:beam_plugins:v1": ["components.statistics_gen"]})
        info.logging_endpoint.url = "localhost:7"
        info.control_endpoint.url = "localhost:8"
        return beam_provision_api_pb2.GetProvisionInfoResponse(info=info)


def test_a_worker_asks_the_runner_for_what_it_was_not_told():
    service = Provision()
    server = grpc.server(ThreadPoolExecutor(1))
    beam_provision_api_pb2_grpc.add_ProvisionServiceServicer_to_server(service, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        variables = worker_environment([
            "--id=w-1",
            f"--provision_endpoint=localhost:{port}",
            "--control_endpoint=localhost:5",
        ])
    finally:
        server.stop(None)
    assert service.metadata["worker_id"] == variables["WORKER_ID"] == "w-1"
    assert variables["CONTROL_API_SERVICE_DESCRIPTOR"] == 'url: "localhost:5"'
    assert variables["LOGGING_API_SERVICE_DESCRIPTOR"] == 'url: "localhost:7"'
    assert "STATUS_API_SERVICE_DESCRIPTOR" not in variables
    assert "components.statistics_gen" in variables["PIPELINE_OPTIONS"]
