"""What goes wrong around a server, for real: kills, broken folders, full disks, taken ports."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 120
QUICK_TO_RECONNECT = [("grpc.max_reconnect_backoff_ms", 200)]
VARIABLES = "variables/variables.data-00000-of-00001"
# Permissions mean nothing to root as long as it may override them.
WITHOUT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def config_entry(name, base_path):
    return f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" }}'


def wait_until_available(server, model):
    with server.client() as client:
        return client.wait_until_available(model, START_SECONDS, server.is_alive)


def offset_of(server, model):
    status, reply = server.post(f"/v1/models/{model}:predict", {"inputs": [0]})
    return reply["outputs"][0] if status == 200 else (status, reply)


# Kills


class Callers:
    """Calls from three threads that go on through outages; keeps what came back."""

    def __init__(self, server, model):
        self.request = predict_pb2.PredictRequest()
        self.request.model_spec.name = model
        self.request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([0])))
        self.server, self.stopping = server, threading.Event()
        self.answers, self.codes = [], set()
        self.threads = [threading.Thread(target=self.call) for _ in range(3)]

    def call(self):
        address = f"127.0.0.1:{self.server.port}"
        with grpc.insecure_channel(address, options=QUICK_TO_RECONNECT) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not self.stopping.is_set():
                try:
                    response = stub.Predict(self.request, timeout=30)
                except grpc.RpcError as error:
                    self.codes.add(error.code())
                    time.sleep(0.05)
                    continue
                offset = response.outputs["y"].float_val[0]
                self.answers.append((offset, response.model_spec.version.value))

    def wait_for_answers(self, version):
        deadline = time.monotonic() + 30
        while version not in {answered for _, answered in self.answers[-50:]}:
            assert time.monotonic() < deadline, self.codes
            time.sleep(0.02)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def test_a_server_killed_during_swaps_and_load_comes_back_with_the_newest_version(
    tmp_path, launch, push, affine_folders
):
    base_path = tmp_path / "killed"
    base_path.mkdir()
    push(base_path, 1)
    server = launch(
        "--model_name=killed",
        f"--model_base_path={base_path}",
        "--max_num_load_retries=0",
    )
    assert wait_until_available(server, "killed") == 1
    with Callers(server, "killed") as callers:
        for version in (2, 3):
            push(base_path, version)
            # Killed before, while or after the version is loaded: it must not matter.
            time.sleep(0.6 * (version - 1))
            server.kill()
            (base_path / f".{version}.part").mkdir()  # what a killed push leaves behind
            server.start_again()
            assert wait_until_available(server, "killed") == version
            server.wait_for_states("killed", {version: "AVAILABLE"})
            callers.wait_for_answers(version)
    assert all(offset == version for offset, version in callers.answers)
    assert callers.codes <= {grpc.StatusCode.UNAVAILABLE}
    assert server.stop() == 0


# Folders


def copy_without(source, folder, *names):
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*names))


def make_truncated(source, folder):
    shutil.copytree(source, folder)
    os.truncate(folder / VARIABLES, 3)


def make_corrupt(source, folder):
    shutil.copytree(source, folder)
    file = folder / "saved_model.pb"
    content = bytearray(file.read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    file.write_bytes(content)


def make_unreadable(source, folder):
    shutil.copytree(source, folder)
    folder.chmod(0)


def make_file_unreadable(source, folder):
    shutil.copytree(source, folder)
    (folder / "saved_model.pb").chmod(0)


def make_link_to_nothing(source, folder):
    copy_without(source, folder, "saved_model.pb")
    (folder / "saved_model.pb").symlink_to("nothing")


def skip_where_root_reads_everything():
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root reads everything here: there is no setpriv to take that right away")


# Model -> how its version 2 is made, the code in its status, words in its error.
BROKEN = {
    "corrupt": (make_corrupt, {"DATA_LOSS", "INVALID_ARGUMENT"}, "saved_model.pb"),
    "half-copied": (
        lambda source, folder: copy_without(source, folder, "variables"),
        {"INVALID_ARGUMENT", "NOT_FOUND"},
        "variables",
    ),
    "without-graph": (
        lambda source, folder: copy_without(source, folder, "saved_model.pb"),
        {"NOT_FOUND"},
        "Could not find SavedModel .pb or .pbtxt",
    ),
    "truncated": (make_truncated, {"OUT_OF_RANGE", "DATA_LOSS"}, "Read less bytes"),
    "dangling": (make_link_to_nothing, {"NOT_FOUND"}, "Could not find SavedModel"),
    "unreadable": (make_unreadable, {"PERMISSION_DENIED"}, "Permission denied"),
    "unreadable-file": (make_file_unreadable, {"PERMISSION_DENIED"}, "Permission denied"),
}
NO_VERSIONS = ("two", "-2", "+2", "2.0", "0x2", "2 ", "99999999999999999999", ".2", "2.part")


@pytest.fixture(scope="module")
def broken(tmp_path_factory, launch, push, affine_folders):
    """A server of one good version per model; returns it and the folder of the models."""
    models = tmp_path_factory.mktemp("broken")
    for name in (*BROKEN, "odd-names", "slow-copy", "rights"):
        (models / name).mkdir()
        push(models / name, 1)
    config = models / "models.config"
    entries = [config_entry(path.name, path) for path in sorted(models.iterdir())]
    config.write_text("model_config_list { " + "\n".join(entries) + " }")
    prefix = WITHOUT_OVERRIDE if os.geteuid() == 0 and shutil.which("setpriv") else ()
    server = launch(
        f"--model_config_file={config}",
        "--max_num_load_retries=0",
        command=(*prefix, sys.executable, "-m", "serving.model_server"),
    )
    wait_until_available(server, "odd-names")
    yield server, models
    for path in models.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o700)
    assert server.stop() == 0


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_version_says_why_while_the_old_one_goes_on_serving(broken, affine_folders, name):
    if name.startswith("unreadable"):
        skip_where_root_reads_everything()
    server, models = broken
    make, codes, words = BROKEN[name]
    beside = models / name / ".2.part"
    make(affine_folders[2], beside)
    beside.rename(models / name / "2")
    server.wait_for_states(name, {1: "AVAILABLE", 2: "END"})
    with server.client() as client:
        report = client.get_status(name)[0]
    assert (report.version, report.error_code in codes) == (2, True), report
    assert words in report.error_message
    assert offset_of(server, name) == 1


def test_a_version_is_served_once_its_files_may_be_read(broken, affine_folders):
    skip_where_root_reads_everything()
    server, models = broken
    beside = models / "rights" / ".2.part"
    make_file_unreadable(affine_folders[2], beside)
    beside.rename(models / "rights" / "2")
    server.wait_for_states("rights", {1: "AVAILABLE", 2: "END"})
    (models / "rights" / "2" / "saved_model.pb").chmod(0o644)
    server.wait_for_states("rights", {1: "END", 2: "AVAILABLE"})


def test_a_version_copied_slowly_file_by_file_is_served_once_it_is_whole(broken, affine_folders):
    server, models = broken
    source, folder = affine_folders[2], models / "slow-copy" / "2"
    folder.mkdir()
    server.wait_for_states("slow-copy", {1: "AVAILABLE", 2: "END"})
    files = sorted(path for path in source.rglob("*") if path.is_file())
    for file in sorted(files, key=lambda path: path.name != "saved_model.pb"):  # the worst order
        target = folder / file.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as part:
            for chunk in (file.read_bytes()[:20], file.read_bytes()[20:]):
                part.write(chunk)
                part.flush()
                time.sleep(0.3)
        assert offset_of(server, "slow-copy") in {1, 2}
    server.wait_for_states("slow-copy", {1: "END", 2: "AVAILABLE"})
    assert offset_of(server, "slow-copy") == 2


def test_folders_whose_names_are_no_numbers_are_left_alone(broken, affine_folders, push):
    server, models = broken
    for name in NO_VERSIONS:
        shutil.copytree(affine_folders[3], models / "odd-names" / name)
    push(models / "odd-names", 2)
    server.wait_for_states("odd-names", {1: "END", 2: "AVAILABLE"})
    assert offset_of(server, "odd-names") == 2


# The disk


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a disk that fills up needs a tmpfs, and only root may mount one")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(file):
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def test_a_full_disk_stops_a_copy_but_neither_a_load_nor_the_server(
    small_disk, launch, push, affine_folders
):
    # Models and TMPDIR lie on the disk; the log does not.
    base_path, filler = small_disk / "full", small_disk / "filler"
    base_path.mkdir()
    push(base_path, 1)
    fill(filler)
    server = launch(
        "--model_name=full",
        f"--model_base_path={base_path}",
        "--max_num_load_retries=0",
        command=("env", f"TMPDIR={small_disk}", sys.executable, "-m", "serving.model_server"),
    )
    assert wait_until_available(server, "full") == 1  # loading writes nothing
    os.truncate(filler, filler.stat().st_size - 24_576)
    with pytest.raises((OSError, shutil.Error), match="No space left on device"):
        shutil.copytree(affine_folders[2], base_path / "2")
    server.wait_for_states("full", {1: "AVAILABLE", 2: "END"})
    assert offset_of(server, "full") == 1
    filler.unlink()
    shutil.copytree(affine_folders[2], base_path / "2", dirs_exist_ok=True)
    server.wait_for_states("full", {1: "END", 2: "AVAILABLE"})
    assert offset_of(server, "full") == 2
    assert server.stop() == 0


# Ports


def test_a_second_server_on_the_same_ports_is_told_so_and_the_first_goes_on(broken, tmp_path):
    server, _ = broken
    for flag, port in (("port", server.port), ("rest_api_port", server.rest_port)):
        second = subprocess.run(
            [sys.executable, "-m", "serving.model_server", f"--{flag}={port}"]
            + ["--grpc_socket_path=" + str(tmp_path / "s"), f"--model_base_path={tmp_path}"]
            + (["--port=0"] if flag == "rest_api_port" else []),
            cwd=REPOSITORY_ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert second.returncode == 255
        assert second.stdout == (
            f"Failed to start server. Error: --{flag}={port} cannot be opened: Address already in "
            "use. Stop what uses it, or choose another port.\n"
        )
    assert offset_of(server, "odd-names") in {1, 2}
