"""One TFMA metric that computes everything Loupe says about a classifier.

It compares class names, not ids, so that a model with one class more than its baseline can still be
compared with it; TFMA's own metrics need ids that mean the same in both.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

# Before TFMA; components/evaluator/extractors.py says why.
import tfx  # noqa: F401  # pyright: ignore[reportUnusedImport]

# isort: split
import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from numpy.typing import NDArray
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluator.names import (
    ACCURACY,
    AUC,
    BALANCED_ACCURACY,
    BALANCED_GAIN,
    CALIBRATION_ERROR,
    CANDIDATE,
    EXAMPLE_COUNT,
    GAIN_OVER_MAJORITY,
    MAJORITY_SHARE,
    PRECISION_PREFIX,
    RECALL_PREFIX,
    SUMMARY_METRICS,
)
from schema.features import OUTPUT_LABEL, OUTPUT_PROBABILITIES

CALIBRATION_BINS = 15
MAX_HISTOGRAM_CELLS = 400_000


class Tally:
    """Counts from which every metric follows; two tallies add up.

    Args:
        labels: class names in the order of the model's probabilities.

    Attributes:
        confusion: number of examples by (true, predicted) class name.
        histogram: int64 (classes, 2, bins): how often a class got a probability when it was not
            (0) and when it was (1) the true one.
        calibration: float64 (3, CALIBRATION_BINS): examples, right answers and summed probability
            by probability of the answer.
    """

    def __init__(self, labels: list[str]) -> None:
        self.confusion: Counter[tuple[str, str]] = Counter()
        self.num_bins = int(np.clip(MAX_HISTOGRAM_CELLS // (2 * len(labels)), 20, 1000))
        self.histogram = np.zeros((len(labels), 2, self.num_bins), np.int64)
        self.calibration = np.zeros((3, CALIBRATION_BINS), np.float64)
        self._class_ids = {name: position for position, name in enumerate(labels)}

    def add(self, truth: str, answer: str, probabilities: NDArray[np.float32]) -> None:
        """Count one example.

        Args:
            truth: true class name.
            answer: class name the model answered.
            probabilities: float32 (classes,), 0..1.
        """
        self.confusion[truth, answer] += 1
        bins = np.minimum((probabilities * self.num_bins).astype(np.int64), self.num_bins - 1)
        is_truth = np.zeros(len(probabilities), np.int64)
        if truth in self._class_ids:
            is_truth[self._class_ids[truth]] = 1
        np.add.at(self.histogram, (np.arange(len(bins)), is_truth, bins), 1)
        confidence = float(probabilities[self._class_ids[answer]])
        column = min(int(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1)
        self.calibration[:, column] += (1.0, float(truth == answer), confidence)

    def merge(self, other: "Tally") -> None:
        """Add another tally's counts to this one's.

        Args:
            other: a tally over the same classes.
        """
        self.confusion.update(other.confusion)
        self.histogram += other.histogram
        self.calibration += other.calibration

    def metrics(self) -> dict[str, float]:
        """Compute every metric.

        Returns:
            Values by name: the SUMMARY_METRICS, then precision and recall per class. A class
            nobody predicted has precision 0; AUC is the mean over classes that have examples of
            both kinds (one against the rest), NaN when there is none.
        """
        num_examples = sum(self.confusion.values())
        truths: Counter[str] = Counter()
        answers: Counter[str] = Counter()
        for (truth, answer), count in self.confusion.items():
            truths[truth] += count
            answers[answer] += count
        hits = {name: self.confusion[name, name] for name in truths}
        recalls = {name: hits[name] / count for name, count in truths.items()}
        accuracy = sum(hits.values()) / num_examples
        balanced_accuracy = float(np.mean(list(recalls.values())))
        majority_share = max(truths.values()) / num_examples
        counts, right, confidence = self.calibration
        values = {
            ACCURACY: accuracy,
            BALANCED_ACCURACY: balanced_accuracy,
            AUC: self._auc(),
            CALIBRATION_ERROR: float(np.abs(right - confidence).sum() / counts.sum()),
            MAJORITY_SHARE: majority_share,
            GAIN_OVER_MAJORITY: accuracy - majority_share,
            BALANCED_GAIN: balanced_accuracy - 1.0 / len(truths),
            EXAMPLE_COUNT: float(num_examples),
        }
        for name in sorted(truths):
            values[PRECISION_PREFIX + name] = hits[name] / max(answers[name], 1)
            values[RECALL_PREFIX + name] = recalls[name]
        return values

    def _auc(self) -> float:
        negatives, positives = self.histogram[:, 0], self.histogram[:, 1]
        pairs = negatives.sum(axis=1) * positives.sum(axis=1)
        if not pairs.any():
            return float("nan")
        below = np.cumsum(negatives, axis=1) - negatives
        won = (positives * (below + negatives / 2)).sum(axis=1)
        return float((won[pairs > 0] / pairs[pairs > 0]).mean())


class _TallyCombiner(beam.CombineFn):
    """Adds examples up into the metrics of one slice."""

    def __init__(self, key: metric_types.MetricKey, labels: list[str]) -> None:
        super().__init__()
        self._key = key
        self._labels = labels

    def create_accumulator(self) -> Tally:  # type: ignore[override]
        return Tally(self._labels)

    def add_input(  # type: ignore[override]
        self, mutable_accumulator: Tally, element: metric_types.StandardMetricInputs
    ) -> Tally:
        predictions: Any = element.get_predictions(model_name=self._key.model_name)
        truth: Any = element.get_labels(model_name=self._key.model_name)
        mutable_accumulator.add(
            _as_text(truth),
            _as_text(predictions[OUTPUT_LABEL]),
            np.asarray(predictions[OUTPUT_PROBABILITIES], np.float32).reshape(-1),
        )
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[Tally]) -> Tally:  # type: ignore[override]
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: Tally) -> dict[metric_types.MetricKey, float]:
        return {
            _key(name, self._key.model_name): value for name, value in accumulator.metrics().items()
        }


def _key(name: str, model_name: str) -> metric_types.MetricKey:
    # None, not False: so TFMA keys the thresholds that MetricsSpec.thresholds declares.
    return metric_types.MetricKey(name=name, model_name=model_name, example_weighted=None)


def _as_text(value: Any) -> str:
    scalar = np.asarray(value).reshape(-1)[0]
    return scalar.decode("utf-8") if isinstance(scalar, bytes) else str(scalar)


class ClassificationReport(tfma.metrics.Metric):
    """Accuracy, balance, ranking, calibration and per-class figures in one pass.

    Args:
        labels_by_model: class names in the order of each model's probabilities.
        name: name of the metric in the config; the values have names of their own.
    """

    def __init__(
        self, labels_by_model: dict[str, list[str]], name: str = "classification_report"
    ) -> None:
        super().__init__(
            metric_util.merge_per_key_computations(_report_computations),
            labels_by_model=labels_by_model,
            name=name,
        )


def _report_computations(
    name: str,
    labels_by_model: dict[str, list[str]],
    model_name: str = "",
    **_unused: Any,
) -> metric_types.MetricComputations:
    labels = labels_by_model[model_name or CANDIDATE]  # TFMA drops the name of a lone model
    names = [*SUMMARY_METRICS, *(p + n for n in labels for p in (PRECISION_PREFIX, RECALL_PREFIX))]
    return [
        metric_types.MetricComputation(
            keys=[_key(each, model_name) for each in names],
            preprocessors=None,
            combiner=_TallyCombiner(_key(name, model_name), labels),
        )
    ]


metric_types.register_metric(ClassificationReport)
