"""Classify, Regress and MultiInference of a real server process, over both protocols."""

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

Code = grpc.StatusCode
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@pytest.fixture(scope="module")
def prediction(server):
    with server.channel() as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def example(**features):
    message = tf.train.Example()
    for name, value in features.items():
        feature = message.features.feature[name]
        if isinstance(value, float):
            feature.float_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.append(value.encode())
    return message


ANNA = example(x=0.25, n=3, name="anna")
BERT = example(x=1.0, n=-1, name="bert")


def fill_input(request, examples, context=None):
    if context is None:
        request.input.example_list.examples.extend(examples)
    else:
        request.input.example_list_with_context.context.CopyFrom(context)
        request.input.example_list_with_context.examples.extend(examples)
    return request


def fill_spec(spec, signature, model="heads", version=None, label=None):
    spec.name = model
    spec.signature_name = signature
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label


def classification(signature="", examples=(ANNA, BERT), context=None, **spec):
    request = classification_pb2.ClassificationRequest()
    fill_spec(request.model_spec, signature, **spec)
    return fill_input(request, examples, context)


def regression(signature="regress", examples=(ANNA, BERT), context=None, **spec):
    request = regression_pb2.RegressionRequest()
    fill_spec(request.model_spec, signature, **spec)
    return fill_input(request, examples, context)


def multi(*tasks, examples=(ANNA, BERT), **spec):
    request = inference_pb2.MultiInferenceRequest()
    for method, signature in tasks:
        fill_spec(request.tasks.add(method_name=method).model_spec, signature, **spec)
    return fill_input(request, examples)


def classes(result):
    return [[(item.label, item.score) for item in row.classes] for row in result.classifications]


def values(result):
    return [item.value for item in result.regressions]


def spec_of(message):
    spec = message.model_spec
    return spec.name, spec.signature_name, spec.version.value


BOTH_CLASSES = [[("anna", 0.25), ("other", 0.75)], [("bert", 1.0), ("other", 0.0)]]


def test_classify_gives_labels_with_scores_and_names_the_version(prediction):
    response = prediction.Classify(classification())
    assert classes(response.result) == BOTH_CLASSES
    assert spec_of(response) == ("heads", "serving_default", 3)


@pytest.mark.parametrize(
    ("signature", "rows"),
    [
        ("scores", [[("", 0.25), ("", 0.75)], [("", 1.0), ("", 0.0)]]),
        ("classes", [[("anna", 0.0), ("other", 0.0)], [("bert", 0.0), ("other", 0.0)]]),
        ("binary_classes", [[("\ufffd", 0.0)], [("\ufffd", 0.0)]]),
    ],
)
def test_a_model_may_lack_labels_or_scores(prediction, signature, rows):
    assert classes(prediction.Classify(classification(signature)).result) == rows


@pytest.mark.parametrize("signature", ["regress", "column"])
def test_regress_gives_a_value_for_each_example(prediction, signature):
    response = prediction.Regress(regression(signature))
    assert values(response.result) == [3.25, 0.0]
    assert spec_of(response) == ("heads", signature, 3)


def test_a_context_fills_in_features_and_the_example_s_own_win(prediction):
    context = example(x=0.5, n=10, name="all")
    examples = [example(), example(x=0.25), example(n=1), example(name="anna")]
    response = prediction.Regress(regression(examples=examples, context=context))
    assert values(response.result) == [10.5, 10.25, 1.5, 10.5]
    response = prediction.Classify(classification("classes", examples, context))
    assert [row[0][0] for row in classes(response.result)] == ["all", "all", "all", "anna"]


def test_signatures_of_tensorflow_2_have_no_method_name_and_are_known_by_their_outputs(prediction):
    request = classification("classify", model="modern_heads")
    assert classes(prediction.Classify(request).result)[0] == [("", 0.25), ("", 0.75)]
    request = regression(model="modern_heads")
    assert values(prediction.Regress(request).result) == [0.5, 2.0]


@pytest.mark.parametrize(
    ("model", "signature", "version", "rows", "numbers"),
    [
        ("heads", "", 3, BOTH_CLASSES, [3.25, 0.0]),
        (
            "modern_heads",
            "classify",
            1,
            [[("", 0.25), ("", 0.75)], [("", 1.0), ("", 0.0)]],
            [0.5, 2.0],
        ),
    ],
    ids=["one input tensor", "an input tensor each"],
)
def test_multi_inference_answers_in_the_order_of_its_tasks(
    prediction, model, signature, version, rows, numbers
):
    tasks = [(REGRESS, "regress"), (CLASSIFY, signature)]
    for order in (tasks, tasks[::-1]):
        results = prediction.MultiInference(multi(*order, model=model)).results
        by_kind = {result.WhichOneof("result"): result for result in results}
        assert [result.model_spec.signature_name for result in results] == [
            name or "serving_default" for _, name in order
        ]
        assert classes(by_kind["classification_result"].classification_result) == rows
        assert values(by_kind["regression_result"].regression_result) == numbers
        assert {spec_of(result)[0::2] for result in results} == {(model, version)}


def test_every_example_of_a_large_request_is_answered(prediction):
    examples = [example(x=float(index % 64), n=index) for index in range(5000)]
    response = prediction.Regress(regression(examples=examples))
    assert values(response.result) == [index % 64 + index for index in range(5000)]


def test_the_signatures_serve_predict_too(prediction):
    request = predict_pb2.PredictRequest()
    fill_spec(request.model_spec, "regress")
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([ANNA.SerializeToString()]))
    assert list(prediction.Predict(request).outputs["outputs"].float_val) == [3.25]


def without_spec(request):
    request.ClearField("model_spec")
    return request


def without_input(request):
    request.ClearField("input")
    return request


BAD_REQUESTS = {
    "no spec": (
        "Classify",
        lambda: without_spec(classification()),
        Code.INVALID_ARGUMENT,
        "Missing ModelSpec",
    ),
    "no name": (
        "Regress",
        lambda: regression(model=""),
        Code.INVALID_ARGUMENT,
        "ModelSpec has no name specified.",
    ),
    "model": (
        "Classify",
        lambda: classification(model="nobody"),
        Code.NOT_FOUND,
        "Servable not found for request: Latest(nobody)",
    ),
    "version": (
        "Regress",
        lambda: regression(version=9),
        Code.NOT_FOUND,
        "Servable not found for request: Specific(heads, 9)",
    ),
    "label": (
        "Regress",
        lambda: regression(label="x"),
        Code.INVALID_ARGUMENT,
        "Unrecognized servable version label: x",
    ),
    "classify signature": (
        "Classify",
        lambda: classification("absent"),
        Code.INVALID_ARGUMENT,
        "No signature was found with the name: absent",
    ),
    "regress signature": (
        "Regress",
        lambda: regression("", model="modern_heads"),
        Code.INVALID_ARGUMENT,
        "No signature was found with the name: serving_default",
    ),
    "no input": (
        "Classify",
        lambda: without_input(classification()),
        Code.INVALID_ARGUMENT,
        "Input is empty.",
    ),
    "no examples": (
        "Regress",
        lambda: regression(examples=()),
        Code.INVALID_ARGUMENT,
        "Input is empty.",
    ),
    "context without examples": (
        "Regress",
        lambda: regression(examples=(), context=ANNA),
        Code.INVALID_ARGUMENT,
        "Input is empty.",
    ),
    "missing feature": (
        "Regress",
        lambda: regression(examples=[example(n=1)], model="modern_heads"),
        Code.INVALID_ARGUMENT,
        "Feature: x (data type: float) is required but could not be found",
    ),
    "op": (
        "Regress",
        lambda: regression(examples=[example(x=100.0)]),
        Code.INVALID_ARGUMENT,
        "x must be less than 100",
    ),
    "regression head": (
        "Classify",
        lambda: classification("regress"),
        Code.INVALID_ARGUMENT,
        "Expected classification signature outputs to contain at least one of "
        '"classes" or "scores". Signature was: inputs {',
    ),
    "classification head": (
        "Regress",
        lambda: regression("scores"),
        Code.INVALID_ARGUMENT,
        "No regression outputs found in SignatureDef: inputs {",
    ),
}
BAD_HEADS = {
    ("Classify", "two_inputs"): "Expected one input Tensor.",
    ("Classify", "other_input"): "No classification inputs found in SignatureDef: inputs {",
    ("Classify", "of_numbers"): "Expects arg[0] to be float but string is provided",
    ("Classify", "three_outputs"): "Expected one or two output Tensors, found 3",
    ("Classify", "other_outputs"): "Expected classification signature outputs to contain",
    ("Classify", "flat_scores"): "Expected Tensor shape: [batch_size num_classes] but got [2]",
    ("Classify", "flat_classes"): "Expected Tensor shape: [batch_size num_classes] but got [2]",
    ("Classify", "double_scores"): "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
    ("Classify", "integer_classes"): "Expected classes Tensor of DT_STRING. Got: DT_INT64",
    ("Classify", "one_score"): "Expected scores output batch size of 2. Got: 1",
    ("Classify", "uneven"): "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
    ("Regress", "two_inputs"): "Expected one input Tensor.",
    ("Regress", "regress_other_input"): "No regression inputs found in SignatureDef: inputs {",
    ("Regress", "regress_two_outputs"): "Expected one output Tensor.",
    ("Regress", "regress_other_output"): "No regression outputs found in SignatureDef: inputs {",
    ("Regress", "regress_wide"): "[batch_size] or [batch_size, 1] but got [2,2]",
    ("Regress", "regress_one"): "Input batch size did not match output batch size: 2 vs. 1",
    ("Regress", "regress_double"): "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE",
}
MAKERS = {"Classify": classification, "Regress": regression}
BAD_REQUESTS |= {
    f"{method} {signature}": (
        method,
        lambda make=MAKERS[method], signature=signature: make(signature),
        Code.INVALID_ARGUMENT,
        message,
    )
    for (method, signature), message in BAD_HEADS.items()
}


def multi_of_two_models():
    request = multi((CLASSIFY, ""), (REGRESS, "regress"))
    request.tasks[1].model_spec.name = "half"
    return request


def multi_with_a_nameless_task():
    request = multi((CLASSIFY, ""), (REGRESS, "regress"))
    request.tasks[1].ClearField("model_spec")
    return request


BAD_REQUESTS |= {
    f"multi: {case}": ("MultiInference", make, code, message)
    for case, make, code, message in [
        ("no tasks", multi, Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (
            "model",
            lambda: multi((CLASSIFY, ""), model="nobody"),
            Code.NOT_FOUND,
            "Servable not found for request: Latest(nobody)",
        ),
        (
            "two models",
            multi_of_two_models,
            Code.INVALID_ARGUMENT,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            "nameless task",
            multi_with_a_nameless_task,
            Code.INVALID_ARGUMENT,
            "Found ModelSpec with an empty model name.",
        ),
        (
            "repeated signature",
            lambda: multi((CLASSIFY, ""), (CLASSIFY, "serving_default")),
            Code.INVALID_ARGUMENT,
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            "signature",
            lambda: multi((CLASSIFY, "absent")),
            Code.INVALID_ARGUMENT,
            "Requested signature not found in model graph: absent",
        ),
        (
            "method",
            lambda: multi(("tensorflow/serving/predict", "predict")),
            Code.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (
            "head",
            lambda: multi((CLASSIFY, ""), (REGRESS, "scores")),
            Code.INVALID_ARGUMENT,
            "No regression outputs found in SignatureDef: ",
        ),
        (
            "no examples",
            lambda: multi((CLASSIFY, ""), examples=()),
            Code.INVALID_ARGUMENT,
            "Input is empty.",
        ),
        (
            "outputs",
            lambda: multi((CLASSIFY, ""), (REGRESS, "regress_wide")),
            Code.INVALID_ARGUMENT,
            "Expected output Tensor shape to be either",
        ),
    ]
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_requests_get_their_code_and_a_reason(prediction, case):
    method, make, code, message = BAD_REQUESTS[case]
    with pytest.raises(grpc.RpcError) as caught:
        getattr(prediction, method)(make())
    assert caught.value.code() is code
    assert message in caught.value.details()
    assert prediction.Regress(regression()).result.regressions


ANNA_JSON = {"x": 0.25, "n": 3, "name": "anna"}
BERT_JSON = {"x": [1.0], "n": [-1], "name": [{"b64": "YmVydA=="}]}


@pytest.mark.parametrize(
    ("path", "body", "results"),
    [
        (
            "heads:classify",
            {"examples": [ANNA_JSON, BERT_JSON]},
            [[["anna", 0.25], ["other", 0.75]], [["bert", 1.0], ["other", 0.0]]],
        ),
        (
            "heads/versions/3:classify",
            {"signature_name": "scores", "examples": [ANNA_JSON]},
            [[["", 0.25], ["", 0.75]]],
        ),
        (
            "heads:regress",
            {"signature_name": "regress", "examples": [ANNA_JSON, BERT_JSON, {}]},
            [3.25, 0.0, 0.0],
        ),
        (
            "heads:regress",
            {
                "signature_name": "column",
                "context": {"x": 0.5, "n": 10},
                "examples": [{}, {"x": 0.25}, {"n": True}],
            },
            [10.5, 10.25, 1.5],
        ),
        (
            "modern_heads:regress",
            {"signature_name": "regress", "examples": [{"x": 0.5}]},
            [1.0],
        ),
    ],
)
def test_rest_answers_with_results(server, path, body, results):
    assert server.post(f"/v1/models/{path}", body) == (200, {"results": results})


def test_rest_writes_float32_in_its_shortest_form(server):
    body = b'{"examples": [{"x": 0.1}, {"x": NaN}]}'
    reply = server.request("POST", "/v1/models/heads:classify", body)[2]
    assert reply == b'{"results":[[["",0.1],["other",0.9]],[["",NaN],["other",NaN]]]}'


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("heads:classify", b"{", 400, "JSON Parse error"),
        (
            "heads:regress",
            {"instances": [1]},
            400,
            "When method is classify, key 'examples' is expected and was not found",
        ),
        ("heads:classify", {"examples": []}, 400, "'examples' value is an empty array"),
        (
            "heads:classify",
            {"examples": [{"x": [1, 2.5]}]},
            400,
            "Unexpected element type in feature: x expecting type: int64",
        ),
        (
            "heads:classify",
            {"examples": [{"x": 1}]},
            400,
            "Data types don't match",
        ),
        (
            "heads:classify",
            {"signature_name": "absent", "examples": [{}]},
            400,
            "No signature was found with the name: absent",
        ),
        (
            "heads:regress",
            {"examples": [{}]},
            400,
            "Expected one output Tensor.",
        ),
        ("nobody:classify", {"examples": [1]}, 400, "Example must be JSON object"),
        (
            "nobody:regress",
            {"examples": [{}]},
            404,
            "Servable not found for request: Latest(nobody)",
        ),
        (
            "heads/versions/9:regress",
            {"examples": [{}]},
            404,
            "Servable not found for request: Specific(heads, 9)",
        ),
        ("heads:CLASSIFY", {"examples": [{}]}, 400, "Malformed request: POST"),
    ],
)
def test_rest_errors(server, path, body, status, message):
    got, reply = server.post(f"/v1/models/{path}", body)
    assert got == status
    assert message in reply["error"]
