"""`deploy/tf_serving/` and `docs/model_server.md`: the files parse, the commands run."""

import contextlib
import dataclasses
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml

from configs.errors import ConfigError
from serving.model_server.config import ModelConfig, models_from_proto, read_config_file
from serving.model_server.flags import ServerFlags, parse_flags

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "tf_serving"
PAGE = (ROOT / "docs" / "model_server.md").read_text()
START_SECONDS = 120


def block(name):
    return re.search(rf"<!-- test: {name} -->\n```sh\n(.*?)^```$", PAGE, re.DOTALL | re.M)[1]


def flags_of(text):
    """The flags of the server's command in a block."""
    command = text.replace("\\\n", " ").partition("serving.model_server")[2]
    return shlex.split(command)


def refusal(flags):
    """Why the server refuses flags; empty when it takes them."""
    try:
        parse_flags(flags)
    except ConfigError as error:
        return str(error)
    return ""


def test_the_models_are_those_of_the_container():
    config = read_config_file(str(FOLDER / "models.config"))
    assert models_from_proto(config) == {"loupe": ModelConfig("loupe", Path("/models/loupe"))}


def test_the_config_map_holds_every_config_file():
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    (generator,) = kustomization["configMapGenerator"]
    files = {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml"}
    assert set(generator["files"]) == files


def test_every_flag_of_the_page_exists():
    known = {field.name for field in dataclasses.fields(ServerFlags)}
    named = set(re.findall(r"--([a-z]+(?:_[a-z]+)+)", PAGE))
    assert len(named) > 20
    assert named - known == set()


def test_the_table_of_refused_flags_is_that_of_the_code():
    table = PAGE.partition("## Flags that are refused")[2].partition("## ")[0]
    rows = re.findall(r"^\| `--.*$", table, re.MULTILINE)
    expected = [
        f"| `--{field.name}` | {field.metadata['refused']} |"
        for field in dataclasses.fields(ServerFlags)
        if field.metadata["refused"]
    ]
    assert rows == expected, "put these rows into the page:\n" + "\n".join(expected)


@pytest.fixture
def workplace(tmp_path, push):
    """A folder in which the page's commands run: a pushed model, and the repository by links."""
    (tmp_path / "workspace/serving/loupe").mkdir(parents=True)
    push(tmp_path / "workspace/serving/loupe", 1)
    for name in (".venv", "configs", "deploy", "schema", "serving"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def free_ports():
    with socket.socket() as first, socket.socket() as second:
        for sock in (first, second):
            sock.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


@contextlib.contextmanager
def running(text, workplace):
    """Run a block on other ports; yields how to put the same ports into another block."""
    ports = dict(zip(("8500", "8501"), map(str, free_ports()), strict=True))

    def on_ports(text):
        return re.sub(r"850[01]", lambda match: ports[match[0]], text)

    log = workplace / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", on_ports(text)],
            cwd=workplace,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_open(int(ports["8501"]), process, log)
        yield on_ports
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def wait_until_open(port, process, log):
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_the_command_for_one_model_serves_and_the_request_is_answered(workplace):
    with running(block("one model"), workplace) as on_ports:
        command = ["bash", "-c", on_ports(block("request"))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert '"AVAILABLE"' in done.stdout
        url = on_ports("http://localhost:8501")
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert httpx.get(f"{url}/readyz").status_code == 200


BATCHING_AND_METRICS = re.compile(r" \\\n    --enable_batching.*", re.DOTALL)


def test_the_command_with_config_files_serves_the_models_of_the_file(workplace):
    text = block("config files")
    refused = refusal(flags_of(text))
    if refused:  # then at least the models' file is tried, and the skip below says what is not
        text = BATCHING_AND_METRICS.sub("", text)
    with running(text, workplace) as on_ports:
        url = on_ports("http://localhost:8501/v1/models/loupe:predict")
        assert httpx.post(url, json={"instances": [0.0]}).json() == {"predictions": [1.0]}
    if refused:
        pytest.skip(refused)
