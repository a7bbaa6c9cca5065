import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from components.evaluator.metrics import Tally

LABELS = ["cat", "dog", "owl"]


def tally_of(truths, probabilities):
    tally = Tally(LABELS)
    for truth, row in zip(truths, probabilities, strict=True):
        tally.add(truth, LABELS[int(np.argmax(row))], np.asarray(row, np.float32))
    return tally


def random_case(seed, count=400):
    generator = np.random.default_rng(seed)
    truths = generator.integers(0, 3, count)
    logits = generator.normal(size=(count, 3)) + 1.5 * np.eye(3)[truths]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return truths, probabilities.astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_metrics_equal_scikit_learn(seed):
    truths, probabilities = random_case(seed)
    answers = probabilities.argmax(axis=1)
    values = tally_of([LABELS[t] for t in truths], probabilities).metrics()
    assert values["accuracy"] == pytest.approx((truths == answers).mean())
    assert values["balanced_accuracy"] == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(truths, answers)
    )
    auc = sklearn_metrics.roc_auc_score(truths, probabilities, multi_class="ovr")
    assert values["auc"] == pytest.approx(auc, abs=2e-3)
    for position, name in enumerate(LABELS):
        expected = sklearn_metrics.precision_score(
            truths == position, answers == position, zero_division=0
        )
        assert values[f"precision/{name}"] == pytest.approx(expected)


def test_merging_tallies_equals_one_tally():
    truths, probabilities = random_case(1)
    names = [LABELS[t] for t in truths]
    whole = tally_of(names, probabilities)
    part = tally_of(names[:150], probabilities[:150])
    part.merge(tally_of(names[150:], probabilities[150:]))
    assert part.metrics() == pytest.approx(whole.metrics())


def test_a_model_that_answers_the_majority_gains_nothing():
    values = tally_of(["cat", "cat", "cat", "dog"], [[0.9, 0.1, 0.0]] * 4).metrics()
    assert values["gain_over_majority"] == 0.0
    assert values["balanced_gain"] == 0.0


def test_calibration_error_is_the_gap_between_confidence_and_accuracy():
    values = tally_of(["cat"] * 3 + ["dog"], [[0.95, 0.03, 0.02]] * 4).metrics()
    assert values["expected_calibration_error"] == pytest.approx(0.20, abs=1e-6)


def test_a_class_the_model_does_not_know_counts_as_wrong():
    values = tally_of(["fox", "cat"], [[0.9, 0.1, 0.0]] * 2).metrics()
    assert values["accuracy"] == 0.5
    assert values["recall/fox"] == 0.0


def test_auc_of_a_single_class_is_not_a_number():
    assert math.isnan(tally_of(["cat"], [[1.0, 0.0, 0.0]]).metrics()["auc"])
