"""What requests with examples run, in this process."""

import pytest
import tensorflow as tf
from tensorflow_serving.apis import inference_pb2

from serving.model_server.flags import ServerFlags
from serving.model_server.inference import plan_multi_inference
from serving.model_server.loader import load_options, load_servable


@pytest.fixture(scope="module")
def load():
    """Load folders; all are closed in the end."""
    servables = []

    def load(folder):
        options = load_options(ServerFlags(model_base_path="/m"))
        servables.append(load_servable("m", 1, folder, options))
        return servables[-1]

    yield load
    for servable in servables:
        servable.close()


def plan(servable, tasks):
    request = inference_pb2.MultiInferenceRequest()
    for signature, method in tasks.items():
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = "m"
        task.model_spec.signature_name = signature
    request.input.example_list.examples.append(tf.train.Example())
    return plan_multi_inference(servable, request)


def test_signatures_with_one_input_tensor_are_fed_once(load, heads_folder):
    tasks = {"column": "regress", "scores": "classify", "classes": "classify"}
    inference = plan(load(heads_folder), tasks)
    assert len(inference.inputs) == 1
    assert len(inference.signature.outputs) == 3


def test_an_output_that_two_signatures_share_is_computed_once(load, heads_folder):
    tasks = {"serving_default": "classify", "scores": "classify"}
    inference = plan(load(heads_folder), tasks)
    assert len(inference.signature.outputs) == 2


def test_each_input_tensor_gets_the_same_examples(load, modern_heads_folder):
    inference = plan(load(modern_heads_folder), {"classify": "classify", "regress": "regress"})
    first, second = inference.inputs.values()
    assert first is second


def test_joined_signatures_have_a_name_of_their_own_whatever_their_order(load, heads_folder):
    tasks = {"regress": "regress", "scores": "classify"}
    servable = load(heads_folder)
    forth = plan(servable, tasks).signature
    back = plan(servable, dict(reversed(tasks.items()))).signature
    assert forth.name == back.name == "MultiInference(regress,scores)"
    assert list(forth.outputs) == list(back.outputs)
