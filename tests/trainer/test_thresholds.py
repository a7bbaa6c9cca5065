import numpy as np
import pytest

from configs.errors import DataError
from trainer.thresholds import Decision, choose_decision, softmax


def _two_class_logits(probabilities):
    positive = np.asarray(probabilities, np.float64)
    return np.stack([np.zeros_like(positive), np.log(positive / (1 - positive))], axis=1)


def test_json_round_trip_keeps_the_decision():
    decision = Decision(1.2, None, 0.1, 30, 0.9, 0.2)
    assert Decision.from_json(decision.to_json()) == decision


@pytest.mark.parametrize("text", ["{", "[]", '{"threshold": 0.5}'])
def test_a_broken_file_is_refused(text):
    with pytest.raises(DataError, match=r"cannot be read: .* Expected an object with temperature"):
        Decision.from_json(text)


def test_the_threshold_separates_shifted_probabilities():
    logits = _two_class_logits([0.1, 0.15, 0.2, 0.3, 0.35, 0.4])
    decision = choose_decision(logits, [0, 0, 0, 1, 1, 1], review_band=0.0, is_balanced=False)
    assert 0.2 < decision.threshold <= 0.3
    assert decision.validation_accuracy == 1


@pytest.mark.parametrize("probabilities", [[0.2, 0.8], [0.2, 0.7], [0.4, 0.9]])
def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken(probabilities):
    logits = _two_class_logits(probabilities)
    decision = choose_decision(logits, [0, 1], review_band=0.0, is_balanced=True)
    assert decision.threshold == 0.5


def test_balance_decides_between_accuracy_and_recall():
    probabilities = [0.1] * 6 + [0.4] * 3 + [0.4] * 2
    label_ids = [0] * 9 + [1] * 2
    plain, balanced = (
        choose_decision(
            _two_class_logits(probabilities), label_ids, review_band=0.0, is_balanced=flag
        ).threshold
        for flag in (False, True)
    )
    assert plain > 0.4 > balanced


def test_more_classes_have_no_threshold():
    decision = choose_decision(np.eye(3), [0, 1, 1], review_band=0.1, is_balanced=True)
    assert decision.threshold is None
    assert decision.validation_accuracy == pytest.approx(2 / 3, abs=1e-4)


def test_close_calls_ask_for_review():
    logits = np.log(np.array([[0.5, 0.4, 0.1], [0.8, 0.1, 0.1], [0.1, 0.3, 0.6], [0.1, 0.4, 0.5]]))
    decision = choose_decision(logits, [0, 0, 2, 2], review_band=0.06, is_balanced=True)
    assert decision.validation_review_share == 0.5


def test_the_temperature_mends_overconfidence():
    random = np.random.default_rng(0)
    logits = random.normal(0, 1, (4000, 3))
    label_ids = [random.choice(3, p=row) for row in softmax(logits)]
    decision = choose_decision(3 * logits, label_ids, review_band=0.1, is_balanced=True)
    assert decision.temperature == pytest.approx(3, rel=0.1)


def test_few_examples_do_not_calibrate():
    decision = choose_decision(np.eye(3) * 9, [1, 2, 0], review_band=0.1, is_balanced=True)
    assert decision.temperature == 1


def test_softmax_of_large_logits_is_finite():
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0]])), [[1, 0]])
