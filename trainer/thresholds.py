"""From logits to an answer: temperature, decision threshold and review band.

All three are chosen on validation data, saved as `decision.json`, and compiled into the signatures.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from configs.errors import DataError

_Array = np.ndarray[Any, np.dtype[np.float64]]

_MIN_EXAMPLES_TO_CALIBRATE: Final = 50
_TEMPERATURES: Final = np.geomspace(0.25, 4.0, 201)


@dataclass(frozen=True)
class Decision:
    """How probabilities become an answer.

    Attributes:
        temperature: what logits are divided by before the softmax, above 0.
        threshold: for two classes, the smallest probability of class 1 that is answered with
            class 1, 0..1; None for more classes, where the most probable one is the answer.
        review_band: an answer is for a human to review when the probability of class 1 is within
            this distance of the threshold or, for more classes, when half the margin between the
            two most probable classes is at most this; 0..0.5.
        validation_examples: examples on which the values were chosen.
        validation_accuracy: share of them that is answered rightly, 0..1.
        validation_review_share: share of them that asks for review, 0..1.
    """

    temperature: float
    threshold: float | None
    review_band: float
    validation_examples: int
    validation_accuracy: float
    validation_review_share: float

    def to_json(self) -> str:
        """Write the decision.

        Returns:
            JSON, one line per value.
        """
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Decision":
        """Read what `to_json` wrote.

        Args:
            text: content of `decision.json`.

        Returns:
            An equal decision.

        Raises:
            DataError: the text is not JSON, or lacks a value.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            names = ", ".join(field.name for field in dataclasses.fields(cls))
            raise DataError(
                f"decision.json cannot be read: {error}. Expected an object with {names}. "
                "Export the model again."
            ) from error


def choose_decision(
    logits: _Array, label_ids: Any, *, review_band: float, is_balanced: bool
) -> Decision:
    """Choose how to answer from what a model says on validation data.

    Args:
        logits: float (examples, classes).
        label_ids: int (examples,), 0 to classes - 1.
        review_band: as of `Decision`.
        is_balanced: choose the threshold for the best balanced accuracy, as training with class
            weights does; otherwise for the best accuracy.

    Returns:
        The decision.
    """
    label_ids = np.asarray(label_ids)
    temperature = _choose_temperature(logits, label_ids)
    probabilities = softmax(logits / temperature)
    if logits.shape[1] == 2:
        measure = _balanced_accuracy if is_balanced else _accuracy
        threshold = _choose_threshold(probabilities[:, 1], label_ids, measure)
        answers = probabilities[:, 1] >= threshold
        distances = np.abs(probabilities[:, 1] - threshold)
    else:
        threshold = None
        answers = probabilities.argmax(axis=1)
        second, first = np.sort(probabilities, axis=1)[:, -2:].T
        distances = (first - second) / 2
    return Decision(
        temperature=temperature,
        threshold=threshold,
        review_band=review_band,
        validation_examples=len(label_ids),
        validation_accuracy=round(_accuracy(answers.astype(int), label_ids), 4),
        validation_review_share=round(float((distances <= review_band).mean()), 4),
    )


def softmax(logits: _Array) -> _Array:
    """Turn logits into probabilities.

    Args:
        logits: float (examples, classes).

    Returns:
        float64, same shape, each row sums to 1.
    """
    shifted = np.asarray(logits, np.float64)
    exponentials = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _choose_temperature(logits: _Array, label_ids: _Array) -> float:
    # Source: temperature scaling, arXiv:1706.04599.
    if len(label_ids) < _MIN_EXAMPLES_TO_CALIBRATE:
        return 1.0

    def loss(temperature: float) -> float:
        right = softmax(logits / temperature)[np.arange(len(label_ids)), label_ids.astype(int)]
        return float(-np.log(np.maximum(right, 1e-12)).mean())

    return round(float(min(_TEMPERATURES, key=loss)), 4)


def _choose_threshold(
    positive: _Array, label_ids: _Array, measure: Callable[[_Array, _Array], float]
) -> float:
    # Only the middles between neighbouring probabilities matter. Of equally good ones the nearest
    # to one half is taken: it is the least fitted to these examples.
    values = np.unique(np.concatenate([positive, [0.0, 1.0]]))
    candidates = np.append((values[1:] + values[:-1]) / 2, 0.5)
    scores = np.array([measure((positive >= c).astype(int), label_ids) for c in candidates])
    best = candidates[scores >= scores.max() - 1e-9]
    return round(float(best[np.abs(best - 0.5).argmin()]), 6)


def _accuracy(answers: _Array, label_ids: _Array) -> float:
    return float((answers == label_ids).mean())


def _balanced_accuracy(answers: _Array, label_ids: _Array) -> float:
    recalls = [(answers == c)[label_ids == c].mean() for c in np.unique(label_ids)]
    return float(np.mean(recalls))
