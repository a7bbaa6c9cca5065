"""`trainer.cluster_check`: workers that find each other, and one that is told nonsense."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "trainer.cluster_check"]
LIMIT_SECONDS = 120


def free_addresses(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def start(tf_config):
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": tf_config, "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_count_each_other():
    workers = free_addresses(2)
    processes = [
        start(
            json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
        )
        for index in range(2)
    ]
    try:
        for index, process in enumerate(processes):
            output, log = process.communicate(timeout=LIMIT_SECONDS)
            assert process.returncode == 0, log
            assert output == f"worker {index} of 2: 2 replicas, 1 of them here\n"
    finally:
        for process in processes:
            process.kill()


def test_a_wrong_contract_ends_with_a_sentence_before_tensorflow_is_imported():
    process = start("{}")
    output, log = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 2
    assert output == ""
    assert log.startswith("TF_CONFIG: it is {}, expected an object of cluster and task.")
    assert log.count("\n") == 1
