"""Versions that come, go and break, under a real server process."""

import shutil
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


def predict(channel, model, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "hold" if "gate" in inputs else ""
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict.future(request)


def answer(future):
    """The offset that a model answered with, and the version that it says it is."""
    response = future.result()
    return response.outputs["y"].float_val[0], response.model_spec.version.value


class Load:
    """Calls one model from several threads until told to stop; keeps answers and errors."""

    def __init__(self, server, model):
        self.server, self.model = server, model
        self.answers, self.errors = [], []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.call) for _ in range(3)]

    def call(self):
        with self.server.channel() as channel:
            while not self.stopping.is_set():
                try:
                    self.answers.append(answer(predict(channel, self.model, x=np.float32([0]))))
                except grpc.RpcError as error:
                    self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def test_swaps_under_load_lose_no_request_and_mix_no_versions(server, push):
    folder = server.models / "swapped"
    with Load(server, "swapped") as load:
        for version in (2, 3, 4):
            push(folder, version)
            expected = dict.fromkeys(range(1, version), "END") | {version: "AVAILABLE"}
            server.wait_for_states("swapped", expected)
        shutil.rmtree(folder / "4")  # a rollback is deleting the newest
        server.wait_for_states("swapped", {1: "END", 2: "END", 3: "AVAILABLE", 4: "END"})
    assert load.errors == []
    assert {version for _, version in load.answers} == {1, 2, 3, 4}
    assert all(offset == version for offset, version in load.answers)
    assert len(load.answers) > 200


def test_a_request_in_flight_finishes_on_the_version_being_unloaded(server, push, gate):
    with server.channel() as channel:
        held = predict(channel, "drained", gate=[str(gate.path)])
        gate.wait_until_reached()
        push(server.models / "drained", 2)
        server.wait_for_states("drained", {1: "UNLOADING", 2: "AVAILABLE"})
        assert answer(predict(channel, "drained", x=np.float32([0]))) == (2.0, 2)
        assert not held.done()
        gate.open()
        assert answer(held) == (1.0, 1)
    server.wait_for_states("drained", {1: "END", 2: "AVAILABLE"})


def test_a_broken_version_leaves_the_old_one_serving_and_recovers_when_repaired(
    server, push, affine_folders
):
    folder = server.models / "broken" / "2"
    shutil.copytree(affine_folders[2], folder)
    (folder / "saved_model.pb").write_bytes(b"not a model")
    server.wait_for_states("broken", {1: "AVAILABLE", 2: "END"})
    with server.client() as client:
        report = client.get_status("broken")[0]
        assert report.error_code != "OK"
        assert "saved_model.pb" in report.error_message
    with server.channel() as channel:
        assert answer(predict(channel, "broken", x=np.float32([0]))) == (1.0, 1)
        shutil.copy(affine_folders[2] / "saved_model.pb", folder / "saved_model.pb")
        server.wait_for_states("broken", {1: "END", 2: "AVAILABLE"})
        assert answer(predict(channel, "broken", x=np.float32([0]))) == (2.0, 2)


def test_versions_that_are_no_models_report_why(server):
    folder = server.models / "invalid"
    (folder / "10").mkdir()
    (folder / "eleven").mkdir()
    (folder / "12").write_text("a file")
    server.wait_for_states("invalid", {1: "AVAILABLE", 10: "END"})
    with server.client() as client:
        report = client.get_status("invalid")[0]
    assert (report.error_code, report.version) == ("NOT_FOUND", 10)
    assert "Could not find SavedModel .pb or .pbtxt" in report.error_message


def test_removed_folders_are_unloaded_but_a_removed_base_path_changes_nothing(server, push):
    base_path = server.models / "removed"
    away = base_path.rename(base_path.with_name("away"))
    push(server.models / "witness", 2)  # its change shows that a poll has passed
    server.wait_for_states("witness", {1: "END", 2: "AVAILABLE"})
    assert server.states("removed") == {1: "AVAILABLE"}
    away.rename(base_path)
    shutil.rmtree(base_path / "1")
    server.wait_for_states("removed", {1: "END"})
    assert server.post("/v1/models/removed:predict", {"instances": [1]}) == (
        404,
        {"error": "Servable not found for request: Latest(removed)"},
    )
    push(base_path, 1)
    server.wait_for_states("removed", {1: "AVAILABLE"})


@pytest.fixture
def models(server):
    with server.channel() as channel:
        yield model_service_pb2_grpc.ModelServiceStub(channel)


def config_request(server, *changes):
    request = model_management_pb2.ReloadConfigRequest()
    text = (server.models / "models.config").read_text()
    text_format.Parse(text, request.config)
    for change in changes:
        change(request.config.model_config_list)
    return request


def test_a_reload_adds_and_drops_models_and_waits_for_new_ones(server, models):
    def add(config):
        config.config.add(
            name="reloaded",
            base_path=str(server.models / "reloaded"),
            model_platform="tensorflow",
        )

    models.HandleReloadConfigRequest(config_request(server, add))
    assert server.post("/v1/models/reloaded:predict", {"instances": [0]})[0] == 200
    models.HandleReloadConfigRequest(config_request(server))
    server.wait_for_states("reloaded", {1: "END"})
    assert server.states("zoo") == {5: "AVAILABLE"}


def test_a_reload_with_a_missing_base_path_does_not_hold_up_other_models(server, models, push):
    def add(config):
        config.config.add(
            name="missing", base_path=str(server.models / "none"), model_platform="tensorflow"
        )

    with pytest.raises(grpc.RpcError) as caught:
        models.HandleReloadConfigRequest(config_request(server, add), timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    push(server.models / "removed", 5)
    server.wait_for_states("removed", {1: "END", 5: "AVAILABLE"})
    models.HandleReloadConfigRequest(config_request(server), timeout=10)


def set_label(label, version):
    def change(config):
        (entry,) = (entry for entry in config.config if entry.name == "labelled")
        entry.version_labels[label] = version

    return change


def test_labels_move_to_loaded_versions_only(server, models):
    models.HandleReloadConfigRequest(config_request(server, set_label("stable", 2)))
    _, reply = server.post("/v1/models/labelled/labels/stable:predict", {"inputs": [0]})
    assert reply == {"outputs": [2.0]}
    with pytest.raises(grpc.RpcError) as caught:
        models.HandleReloadConfigRequest(config_request(server, set_label("stable", 9)))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "version 9 of model labelled, which is not currently available" in caught.value.details()
    _, reply = server.post("/v1/models/labelled/labels/stable:predict", {"inputs": [0]})
    assert reply == {"outputs": [2.0]}
    models.HandleReloadConfigRequest(config_request(server))
