"""What makes a signature one to classify or to regress with."""

import numpy as np
import pytest

from serving.model_server.errors import InvalidArgumentError
from serving.model_server.flags import ServerFlags
from serving.model_server.heads import CLASSIFICATION, REGRESSION
from serving.model_server.loader import load_options, load_servable

HEADS = {"classify": CLASSIFICATION, "regress": REGRESSION}


@pytest.fixture(scope="module", params=[False, True], ids=["by shape", "by method name"])
def servable(request, heads_folder):
    flags = ServerFlags(model_base_path="/m", enable_signature_method_name_check=request.param)
    servable = load_servable("m", 3, heads_folder, load_options(flags))
    yield servable
    servable.close()


def choose(servable, head, name):
    return head.choose_outputs(servable.signature(name), servable.signature_defs[name])


def test_the_outputs_of_a_head_are_found_by_name(servable):
    assert choose(servable, CLASSIFICATION, "serving_default") == ("classes", "scores")
    assert choose(servable, CLASSIFICATION, "scores") == ("scores",)
    assert choose(servable, REGRESSION, "column") == ("outputs",)


@pytest.mark.parametrize(
    ("method", "name", "checked", "unchecked"),
    [
        (
            "classify",
            "regress",
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/regress",
            "Expected classification signature outputs to contain at least one of "
            '"classes" or "scores". Signature was: ',
        ),
        (
            "regress",
            "predict",
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/predict",
            "No regression outputs found in SignatureDef: ",
        ),
    ],
)
def test_the_method_name_counts_when_the_flag_says_so(servable, method, name, checked, unchecked):
    is_checked = servable.signature(name).checks_method_name
    with pytest.raises(InvalidArgumentError) as caught:
        choose(servable, HEADS[method], name)
    assert caught.value.message.startswith(checked if is_checked else unchecked)


def test_a_head_by_shape_needs_no_method_name(servable, modern_heads_folder):
    check = servable.signature("").checks_method_name
    flags = ServerFlags(model_base_path="/m", enable_signature_method_name_check=check)
    modern = load_servable("m", 1, modern_heads_folder, load_options(flags))
    if check:
        with pytest.raises(InvalidArgumentError, match="Was: tensorflow/serving/predict"):
            choose(modern, REGRESSION, "regress")
    else:
        assert choose(modern, REGRESSION, "regress") == ("outputs",)
    modern.close()


def test_a_model_may_answer_with_no_class_at_all(servable):
    outputs = {"classes": np.empty((2, 0), object), "scores": np.empty((2, 0), np.float32)}
    result = CLASSIFICATION.make_result(servable.signature(""), outputs, 2)
    assert [len(row.classes) for row in result.classifications] == [0, 0]
