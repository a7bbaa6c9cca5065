"""Loading and warming up, in this process."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from schema.features import ASSETS_EXTRA_FOLDER, WARMUP_FILENAME
from serving.model_server.errors import Code, InvalidArgumentError, ServingError
from serving.model_server.flags import ServerFlags
from serving.model_server.loader import load_options, load_servable


def load(folder, **flags):
    options = load_options(ServerFlags(model_base_path="/m", **flags))
    return load_servable("m", 1, folder, options)


def call(servable, signature="", timeout_ms=0, **inputs):
    chosen = servable.signature(signature)
    return chosen.run(inputs, chosen.choose_outputs(()), timeout_ms)


@pytest.fixture
def folder(tmp_path, affine_folders):
    return shutil.copytree(affine_folders[2], tmp_path / "1")


@pytest.fixture
def write_warmup(folder):
    def write(*logs, folder=folder):
        extra = folder / ASSETS_EXTRA_FOLDER
        extra.mkdir(exist_ok=True)
        with tf.io.TFRecordWriter(str(extra / WARMUP_FILENAME)) as writer:
            for log in logs:
                writer.write(log if isinstance(log, bytes) else log.SerializeToString())
        return folder

    return write


def predict_log(**inputs):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "m"
    for alias, value in inputs.items():
        log.predict_log.request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return log


@pytest.mark.parametrize(("kind", "offset"), [("affine", 2.0), ("legacy", 3.0)])
def test_both_generations_of_saved_models_run(affine_folders, legacy_folder, kind, offset):
    servable = load(affine_folders[2] if kind == "affine" else legacy_folder)
    outputs = call(servable, x=np.float32([4]))
    np.testing.assert_array_equal(outputs["y"], np.float32([2 + offset]))
    servable.close()


def test_two_models_in_one_process_do_not_mix(affine_folders):
    first, second = load(affine_folders[1]), load(affine_folders[2])
    assert call(first, x=np.float32([0]))["y"] == 1
    assert call(second, x=np.float32([0]))["y"] == 2


def test_scalars_and_trailing_zeros_survive(zoo_folder):
    servable = load(zoo_folder)
    value = np.array(b"a\0\0", object)
    assert call(servable, "echo_string", value=value)["value"][()] == b"a\0\0"
    assert call(servable, "echo_int64", value=np.int64(3))["value"].shape == ()


def test_a_time_limit_ends_a_call_and_the_next_one_works(affine_folders, tmp_path):
    servable = load(affine_folders[1])
    with pytest.raises(ServingError) as caught:
        call(servable, "hold", timeout_ms=50, gate=np.array([str(tmp_path / "g").encode()], object))
    assert caught.value.code is Code.DEADLINE_EXCEEDED
    assert call(servable, x=np.float32([0]))["y"] == 1


def test_method_names_are_checked_when_asked_for(zoo_folder):
    servable = load(zoo_folder, enable_signature_method_name_check=True)
    assert call(servable, x=np.float32([[1, 2]]))["sum"] == 3


@pytest.mark.parametrize(
    ("damage", "code", "message"),
    [
        (lambda f: (f / "saved_model.pb").unlink(), Code.NOT_FOUND, "Could not find SavedModel"),
        (lambda f: (f / "saved_model.pb").write_bytes(b"x"), Code.DATA_LOSS, "Cannot parse file"),
        (lambda f: shutil.rmtree(f / "variables"), Code.INVALID_ARGUMENT, "not a valid checkpoint"),
        (
            lambda f: (f / "variables" / "variables.data-00000-of-00001").write_bytes(b"x"),
            Code.OUT_OF_RANGE,
            "Read less bytes than requested",
        ),
    ],
)
def test_damaged_folders_say_what_is_wrong(folder, damage, code, message):
    damage(folder)
    with pytest.raises(ServingError) as caught:
        load(folder)
    assert message in caught.value.message
    assert caught.value.code is code


def test_other_tags(folder):
    with pytest.raises(ServingError, match="MetaGraphDef associated with tags") as caught:
        load(folder, saved_model_tags="serve,gpu")
    assert caught.value.code is Code.NOT_FOUND


def test_warmup_runs_each_request_as_often_as_told(write_warmup, tmp_path):
    gate = tmp_path / "gate"
    (tmp_path / "gate.opened").touch()
    log = predict_log(gate=[str(gate)])
    log.predict_log.request.model_spec.signature_name = "hold"
    folder = write_warmup(log, predict_log(x=np.float32([1])))
    load(folder, enable_model_warmup=False)
    assert not (tmp_path / "gate.reached").exists()
    load(folder)
    assert (tmp_path / "gate.reached").exists()


@pytest.mark.parametrize(
    ("logs", "code", "message"),
    [
        ([predict_log()], Code.INVALID_ARGUMENT, "Missing but required: {x}"),
        ([predict_log(x=np.int32([1]))], Code.INVALID_ARGUMENT, "is int32, expected float"),
        ([b"\xff\xff"], Code.INVALID_ARGUMENT, "Failed to parse warmup record"),
        ([prediction_log_pb2.PredictionLog()], Code.UNIMPLEMENTED, "Unsupported log_type"),
        ([predict_log(x=np.float32([1]))] * 1001, Code.INVALID_ARGUMENT, "exceeded the maximum"),
    ],
)
def test_a_warmup_that_fails_fails_the_load(write_warmup, logs, code, message):
    with pytest.raises(ServingError) as caught:
        load(write_warmup(*logs))
    assert caught.value.code is code
    assert message in caught.value.message


@pytest.fixture
def own_heads_folder(heads_folder, tmp_path):
    return shutil.copytree(heads_folder, tmp_path / "heads")


def example_logs(x=1.0, signature="regress"):
    """A record of each call that takes examples."""
    logs = {name: prediction_log_pb2.PredictionLog() for name in ("classify", "regress", "multi")}
    requests = {
        "classify": logs["classify"].classify_log.request,
        "regress": logs["regress"].regress_log.request,
        "multi": logs["multi"].multi_inference_log.request,
    }
    for request in requests.values():
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(x)
    requests["regress"].model_spec.signature_name = signature
    task = requests["multi"].tasks.add(method_name="tensorflow/serving/regress")
    task.model_spec.name = "m"
    task.model_spec.signature_name = signature
    return logs


def test_recorded_calls_with_examples_are_replayed(write_warmup, own_heads_folder):
    load(write_warmup(*example_logs().values(), folder=own_heads_folder)).close()


@pytest.mark.parametrize("kind", ["classify", "regress", "multi"])
def test_a_recorded_call_without_examples_fails_the_load(write_warmup, own_heads_folder, kind):
    log = example_logs()[kind]
    getattr(log, log.WhichOneof("log_type")).request.ClearField("input")
    with pytest.raises(InvalidArgumentError, match=r"Input is empty\."):
        load(write_warmup(log, folder=own_heads_folder))


@pytest.mark.parametrize("kind", ["regress", "multi"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"x": 100.0}, "x must be less than 100"),
        ({"signature": "regress_wide"}, "Expected output Tensor shape to be either"),
        ({"signature": "absent"}, "absent"),
    ],
)
def test_a_recorded_call_that_fails_fails_the_load(
    write_warmup, own_heads_folder, kind, wrong, message
):
    with pytest.raises(ServingError, match=message) as caught:
        load(write_warmup(example_logs(**wrong)[kind], folder=own_heads_folder))
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_a_recorded_multi_inference_without_tasks_fails_the_load(write_warmup, own_heads_folder):
    log = example_logs()["multi"]
    log.multi_inference_log.request.ClearField("tasks")
    with pytest.raises(InvalidArgumentError, match=r"has no tasks\. Give it at least one\."):
        load(write_warmup(log, folder=own_heads_folder))


def test_a_damaged_warmup_file_fails_the_load(write_warmup):
    folder = write_warmup(predict_log(x=np.float32([1])))
    file = folder / ASSETS_EXTRA_FOLDER / WARMUP_FILENAME
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ServingError, match=r"is damaged: .* Write it anew\."):
        load(folder)


def test_inputs_of_a_signature_are_checked_by_name(affine_folders):
    signature = load(affine_folders[1]).signature("")
    with pytest.raises(InvalidArgumentError, match=r"Sent extra: {z}"):
        signature.check_input_names(["x", "z"])
