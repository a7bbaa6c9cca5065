"""SavedModels and real server processes for the tests of the model server."""

import contextlib
import dataclasses
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from schema.features import ASSETS_EXTRA_FOLDER, WARMUP_FILENAME
from serving.model_server.client import ModelServerClient

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 120
OUR_SERVER = (sys.executable, "-m", "serving.model_server")
DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "string")


class Affine(tf.Module):
    """Half x + offset, and a call that ends when the test wants it to."""

    def __init__(self, offset):
        super().__init__()
        self.offset = tf.Variable(float(offset))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half_plus(self, x):
        return {"y": 0.5 * x + self.offset}

    @tf.function(input_signature=[tf.TensorSpec([1], tf.string, name="gate")])
    def hold(self, gate):
        with tf.control_dependencies([tf.io.write_file(gate[0] + ".reached", "")]):
            start = tf.constant(0)
        opened = gate[0] + ".opened"
        (count,) = tf.while_loop(
            lambda _: tf.equal(tf.size(tf.io.matching_files(opened)), 0),
            lambda count: (count + 1,),
            (start,),
        )
        return {"y": tf.reshape(self.offset + 0.0 * tf.cast(count, tf.float32), [1])}


@dataclasses.dataclass
class Gate:
    """Holds a call of the signature `hold` inside the model until it is opened."""

    path: Path

    def wait_until_reached(self):
        deadline = time.monotonic() + 30
        while not self.path.with_suffix(".reached").exists():
            assert time.monotonic() < deadline, "the call did not reach the model"
            time.sleep(0.005)

    def open(self):
        self.path.with_suffix(".opened").touch()


@pytest.fixture
def make_gate(tmp_path) -> Iterator[Callable[[str], Gate]]:
    """Gates by name; all are open when the test ends."""
    gates = []

    def make_gate(name: str) -> Gate:
        gates.append(Gate(tmp_path / name))
        return gates[-1]

    yield make_gate
    for gate in gates:
        gate.open()


@pytest.fixture
def gate(make_gate) -> Gate:
    return make_gate("gate")


class Zoo(tf.Module):
    """One signature per thing that a client can do right or wrong."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def rows(self, x):
        return {"sum": tf.reduce_sum(x, axis=1)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="a"),
            tf.TensorSpec([None], tf.int32, name="b"),
        ]
    )
    def pair(self, a, b):
        return {"sum": a + tf.cast(b, tf.float32), "twice": 2 * b}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def image(self, image):
        return {"raw_bytes": image, "length": tf.strings.length(image)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def decode(self, image):
        return {"size": tf.map_fn(_decoded_size, image, fn_output_signature=tf.int32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def decode_example(self, image):
        features = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        return self.decode(tf.io.parse_example(image, features)["image/encoded"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def text(self, text):
        return {"text": text}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="n")])
    def fail(self, n):
        check = tf.debugging.assert_equal(n, 1, message="n must be one")
        with tf.control_dependencies([check]):
            return {"n": tf.identity(n)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def inverse(self, x):
        return {"y": 1.0 / x}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def uneven(self, x):
        return {"one": tf.reshape(x, [1]), "two": tf.stack([x, x])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def half_precision(self, x):
        return {"y": tf.cast(x, tf.float16)}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.float16, name="x")])
    def from_half_precision(self, x):
        return {"y": tf.cast(x, tf.float32)}


def _decoded_size(image):
    pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
    return tf.ensure_shape(tf.shape(pixels)[:2], [2])


def _echo(dtype):
    @tf.function(input_signature=[tf.TensorSpec(None, dtype, name="value")])
    def echo(value):
        return {"value": tf.identity(value)}

    return echo


@pytest.fixture(scope="session")
def save_affine() -> Callable[[Path, float], Path]:
    """Write a version folder whose answer shows the offset; complete or not there at all."""

    def save(folder: Path, offset: float) -> Path:
        module = Affine(offset)
        signatures = {"serving_default": module.half_plus, "hold": module.hold}
        beside = folder.with_name(f".{folder.name}.part")
        tf.saved_model.save(module, str(beside), signatures=signatures)
        return beside.rename(folder)

    return save


@pytest.fixture(scope="session")
def affine_folders(tmp_path_factory, save_affine) -> dict[int, Path]:
    """Affine models with the offsets 1 to 6, to be copied into version folders."""
    root = tmp_path_factory.mktemp("affine")
    return {offset: save_affine(root / str(offset), offset) for offset in range(1, 7)}


@pytest.fixture(scope="session")
def push(affine_folders) -> Callable[[Path, int], None]:
    """Push the affine model of a version number, by rename as the Pusher does."""

    def push(base_path: Path, version: int) -> None:
        beside = base_path / f".{version}.part"
        shutil.copytree(affine_folders[version], beside)
        beside.rename(base_path / str(version))

    return push


@pytest.fixture(scope="session")
def zoo_folder(tmp_path_factory) -> Path:
    """The zoo as version folder 5."""
    module = Zoo()
    names = ("pair", "image", "text", "fail", "inverse", "uneven", "decode", "decode_example")
    signatures = {name: getattr(module, name) for name in names}
    signatures |= {"half_precision": module.half_precision, "serving_default": module.rows}
    signatures["from_half_precision"] = module.from_half_precision
    for name in DTYPES:
        echo = _echo(tf.as_dtype(name))
        setattr(module, f"echo_{name}", echo)
        signatures[f"echo_{name}"] = echo
    folder = tmp_path_factory.mktemp("zoo") / "5"
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


@pytest.fixture(scope="session")
def legacy_folder(tmp_path_factory) -> Path:
    """What TensorFlow 1 exported: reference variables and no functions."""
    folder = tmp_path_factory.mktemp("legacy") / "1"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None])
        three = tf.compat.v1.get_variable("three", initializer=3.0, use_resource=False)
        y = 0.5 * x + three
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(session, str(folder), {"x": x}, {"y": y})
    return folder


def _heads(serialized):
    """Signature name -> method, tensor of each input, tensor of each output."""
    features = {
        "x": tf.io.FixedLenFeature([], tf.float32, 0.0),
        "n": tf.io.FixedLenFeature([], tf.int64, 0),
        "name": tf.io.FixedLenFeature([], tf.string, ""),
    }
    parsed = tf.io.parse_example(serialized, features)
    x, n, name = parsed["x"], parsed["n"], parsed["name"]
    classes = tf.stack([name, tf.fill(tf.shape(name), "other")], axis=1)
    scores = tf.stack([x, 1.0 - x], axis=1)
    value = x + tf.cast(n, tf.float32)
    column = tf.expand_dims(value, 1)
    inputs = {"inputs": serialized}
    numbers = tf.compat.v1.placeholder(tf.float32, [None])
    check = tf.debugging.assert_less(x, 100.0, message="x must be less than 100")
    with tf.control_dependencies([check]):
        checked = tf.identity(value)
    return {
        "serving_default": ("classify", inputs, {"classes": classes, "scores": scores}),
        "scores": ("classify", inputs, {"scores": scores}),
        "classes": ("classify", inputs, {"classes": classes}),
        "binary_classes": ("classify", inputs, {"classes": tf.fill([2, 1], b"\xff")}),
        "regress": ("regress", inputs, {"outputs": checked}),
        "column": ("regress", inputs, {"outputs": column}),
        "predict": ("predict", inputs, {"x": x}),
        "two_inputs": ("classify", inputs | {"y": numbers}, {"scores": scores}),
        "other_input": ("classify", {"examples": serialized}, {"scores": scores}),
        "of_numbers": ("classify", {"inputs": numbers}, {"scores": tf.expand_dims(numbers, 1)}),
        "three_outputs": (
            "classify",
            inputs,
            {"classes": classes, "scores": scores, "value": value},
        ),
        "other_outputs": ("classify", inputs, {"labels": classes}),
        "flat_scores": ("classify", inputs, {"scores": x}),
        "flat_classes": ("classify", inputs, {"classes": name}),
        "double_scores": ("classify", inputs, {"scores": tf.cast(scores, tf.float64)}),
        "integer_classes": ("classify", inputs, {"classes": tf.expand_dims(n, 1)}),
        "one_score": ("classify", inputs, {"scores": scores[:1]}),
        "uneven": ("classify", inputs, {"classes": classes, "scores": column}),
        "regress_other_input": ("regress", {"examples": serialized}, {"outputs": value}),
        "regress_two_outputs": ("regress", inputs, {"outputs": value, "x": x}),
        "regress_other_output": ("regress", inputs, {"value": value}),
        "regress_wide": ("regress", inputs, {"outputs": scores}),
        "regress_one": ("regress", inputs, {"outputs": value[:1]}),
        "regress_double": ("regress", inputs, {"outputs": tf.cast(value, tf.float64)}),
    }


@pytest.fixture(scope="session")
def heads_folder(tmp_path_factory) -> Path:
    """Signatures that take examples, through one tensor, as estimators exported them."""
    folder = tmp_path_factory.mktemp("heads") / "3"
    api = tf.compat.v1.saved_model
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = {
            name: api.build_signature_def(
                {alias: api.build_tensor_info(tensor) for alias, tensor in inputs.items()},
                {alias: api.build_tensor_info(tensor) for alias, tensor in outputs.items()},
                f"tensorflow/serving/{method}",
            )
            for name, (method, inputs, outputs) in _heads(
                tf.compat.v1.placeholder(tf.string, [None])
            ).items()
        }
        builder = api.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()
    return folder


class ModernHeads(tf.Module):
    """What TensorFlow 2 exports: an input tensor for each signature, and no method names."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        x = self._parse(inputs)
        return {"scores": tf.stack([x, 1.0 - x], axis=1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        return {"outputs": 2.0 * self._parse(inputs)}

    def _parse(self, inputs):
        return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]


@pytest.fixture(scope="session")
def modern_heads_folder(tmp_path_factory) -> Path:
    module = ModernHeads()
    folder = tmp_path_factory.mktemp("modern_heads") / "1"
    signatures = {"classify": module.classify, "regress": module.regress}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@dataclasses.dataclass
class ServerProcess:
    """A running `python -m serving.model_server`."""

    process: subprocess.Popen
    port: int
    rest_port: int
    log: Path

    def client(self) -> ModelServerClient:
        return ModelServerClient(
            grpc_address=f"127.0.0.1:{self.port}", rest_address=f"127.0.0.1:{self.rest_port}"
        )

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def request(self, method, path, body=None, headers=None):
        """Send one request; return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rest_port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def get(self, path):
        status, _, body = self.request("GET", path)
        return status, json.loads(body)

    def post(self, path, document):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        status, _, content = self.request("POST", path, body)
        return status, json.loads(content)

    def states(self, model):
        """Version -> state."""
        with self.client() as client:
            return {r.version: r.state for r in client.get_status(model)}

    def wait_for_states(self, model, expected):
        deadline = time.monotonic() + 30
        while (states := self.states(model)) != expected:
            assert time.monotonic() < deadline, f"{model}: {states}, expected {expected}"
            time.sleep(0.02)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def start_again(self):
        """Run the same command on the same ports; the log goes on."""
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                self.process.args, cwd=REPOSITORY_ROOT, stdout=file, stderr=subprocess.STDOUT
            )


@pytest.fixture(scope="session")
def launch(tmp_path_factory) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers with flags; they are ended with the session."""
    started = []

    def launch(*flags: str, command: Sequence[str] = OUR_SERVER) -> ServerProcess:
        ports = free_port(), free_port()
        log = tmp_path_factory.mktemp("log") / "server.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*command, f"--port={ports[0]}", f"--rest_api_port={ports[1]}", *flags],
                cwd=REPOSITORY_ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        started.append(ServerProcess(process, *ports, log))
        return started[-1]

    yield launch
    for server in started:
        if server.is_alive():
            server.process.kill()
        server.process.wait()


def _config_entry(name: str, base_path: Path, extra: str = "") -> str:
    return (
        f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow" {extra} }}'
    )


@dataclasses.dataclass
class SharedServer(ServerProcess):
    """The server that most tests use, with the folders of its models."""

    models: Path = Path()


@pytest.fixture(scope="session")
def server(
    tmp_path_factory,
    launch,
    push,
    zoo_folder,
    legacy_folder,
    heads_folder,
    modern_heads_folder,
    affine_folders,
) -> SharedServer:
    """Several models in one process: half, zoo, heads, labelled, .. and folders to change."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(affine_folders[2], models / "half" / "00000123")
    for name in ("swapped", "drained", "broken", "invalid", "removed", "witness", "reloaded"):
        (models / name).mkdir()
        push(models / name, 1)
    for version in (1, 2):
        (models / "labelled").mkdir(exist_ok=True)
        push(models / "labelled", version)
    entries = [
        _config_entry(name, models / name)
        for name in ("half", "swapped", "drained", "broken", "invalid", "removed", "witness")
    ]
    entries += [
        _config_entry("zoo", zoo_folder.parent),
        _config_entry("legacy", legacy_folder.parent),
        _config_entry("heads", heads_folder.parent),
        _config_entry("modern_heads", modern_heads_folder.parent),
        _config_entry(
            "labelled",
            models / "labelled",
            "model_version_policy { specific { versions: 1 versions: 2 } } "
            'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }',
        ),
    ]
    config_file = models / "models.config"
    config_file.write_text("model_config_list { " + "\n".join(entries) + " }")
    running = launch(
        f"--model_config_file={config_file}",
        "--max_num_load_retries=0",
        "--rest_api_timeout_in_ms=1000",
        "--enable_grpc_healthcheck_service",
        f"--grpc_socket_path={models / 'grpc.sock'}",
        f"--rest_api_max_body_bytes={2**20}",
    )
    with running.client() as client:
        client.wait_until_available("half", START_SECONDS, running.is_alive)
    return SharedServer(**vars(running), models=models)


@pytest.fixture(scope="session")
def monitored(tmp_path_factory, launch, affine_folders, heads_folder) -> ServerProcess:
    """A model with a warm-up request and one without, metrics at a path of their own, one thread
    for gRPC."""
    folder = tmp_path_factory.mktemp("monitored")
    version = shutil.copytree(affine_folders[2], folder / "half" / "1")
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "half"
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    (version / ASSETS_EXTRA_FOLDER).mkdir()
    with tf.io.TFRecordWriter(str(version / ASSETS_EXTRA_FOLDER / WARMUP_FILENAME)) as writer:
        writer.write(log.SerializeToString())
    config_file = folder / "monitoring.config"
    config_file.write_text('prometheus_config { enable: true, path: "/metrics/here" }')
    models_file = folder / "models.config"
    models_file.write_text(
        "model_config_list {"
        + _config_entry("half", folder / "half")
        + _config_entry("heads", heads_folder.parent)
        + "}"
    )
    running = launch(
        f"--model_config_file={models_file}",
        f"--monitoring_config_file={config_file}",
        "--grpc_max_threads=1",
    )
    with running.client() as client:
        client.wait_until_available("half", START_SECONDS, running.is_alive)
    return running
