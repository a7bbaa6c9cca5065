import numpy as np
import pytest

from configs.errors import UpstreamError
from serving.gateway.model.answers import make_answer, read_classes

OUTPUTS = {
    "label": np.array(["hät".encode()], object),
    "label_id": np.array([1]),
    "probability": np.array([0.6], np.float32),
    "probabilities": np.array([[0.1, 0.6, 0.3]], np.float32),
    "needs_review": np.array([True]),
}
CLASSES = ("bag", "hät", "shoe")


def _answer(classes=CLASSES, **changes):
    return make_answer({**OUTPUTS, **changes}, classes=classes, version=4, model_ms=1.5)


def test_an_answer_holds_what_the_model_said():
    answer = _answer()
    assert (answer.label, answer.label_id, answer.needs_review) == ("hät", 1, True)
    assert answer.probability == pytest.approx(0.6)
    assert (answer.version, answer.model_ms) == (4, 1.5)


def test_margin_is_the_lead_over_the_next_class():
    assert _answer().margin == pytest.approx(0.3)
    low = _answer(label_id=np.array([2]), probability=np.array([0.3], np.float32))
    assert low.margin == 0.0


def test_most_probable_classes_come_best_first():
    best = [(one.label, round(one.probability, 3)) for one in _answer().most_probable(2)]
    assert best == [("hät", 0.6), ("shoe", 0.3)]


def test_a_model_without_class_names_tells_its_answer_only():
    best = _answer(classes=()).most_probable(5)
    assert [(one.label, round(one.probability, 3)) for one in best] == [("hät", 0.6)]


def test_rounding_errors_do_not_leave_0_to_1():
    above = np.array([[0.0, 1.0000001, -1e-9]], np.float32)
    answer = _answer(probabilities=above, probability=above[:, 1])
    assert answer.probability == 1.0
    assert min(answer.probabilities) == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": np.zeros((1, 2))}, r"shape \(1, 2\), expected 1 image and 3 classes"),
        ({"label": np.array([b"a", b"b"], object)}, "expected 1 image"),
    ],
)
def test_answers_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UpstreamError, match=message):
        _answer(**changes)


def test_missing_outputs_are_named():
    outputs = {name: value for name, value in OUTPUTS.items() if name != "needs_review"}
    with pytest.raises(UpstreamError, match=r"expected also \['needs_review'\]"):
        make_answer(outputs, classes=CLASSES, version=4, model_ms=0)


def test_classes_are_read_once_for_the_batch():
    names = np.array([[name.encode() for name in CLASSES]], object)
    assert read_classes({**OUTPUTS, "classes": names}) == CLASSES
    assert read_classes(OUTPUTS) == ()
