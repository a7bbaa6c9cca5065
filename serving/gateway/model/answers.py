"""What a model says about one image, whoever was asked."""

import dataclasses
from typing import Any

from numpy.typing import NDArray

from configs.errors import UpstreamError
from schema.features import (
    OUTPUT_CLASSES,
    OUTPUT_LABEL,
    OUTPUT_LABEL_ID,
    OUTPUT_NEEDS_REVIEW,
    OUTPUT_PROBABILITIES,
    OUTPUT_PROBABILITY,
)
from serving.gateway.api_types import ClassProbability

ANSWER_OUTPUTS = (
    OUTPUT_LABEL,
    OUTPUT_LABEL_ID,
    OUTPUT_PROBABILITY,
    OUTPUT_PROBABILITIES,
    OUTPUT_NEEDS_REVIEW,
)
"""Outputs that differ from image to image."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A model's own answer, before the business rules.

    Attributes:
        label: the class.
        label_id: its place in `probabilities`.
        probability: of that class, 0..1.
        probabilities: of every class, 0..1.
        classes: names in the order of `probabilities`; empty when the model does not tell them.
        needs_review: whether the answer lies in the model's review band.
        version: the version that answered; 0 for a fallback.
        model_ms: how long the model took, milliseconds, retries included.
    """

    label: str
    label_id: int
    probability: float
    probabilities: tuple[float, ...]
    classes: tuple[str, ...]
    needs_review: bool
    version: int
    model_ms: float = 0.0

    @property
    def margin(self) -> float:
        """Tell how far the answer leads.

        Returns:
            Distance to the most probable other class, 0..1; 0 where a threshold let a less
            probable class win.
        """
        others = [p for i, p in enumerate(self.probabilities) if i != self.label_id]
        return max(0.0, self.probability - max(others, default=0.0))

    def most_probable(self, count: int) -> list[ClassProbability]:
        """List the best classes.

        Args:
            count: how many at most.

        Returns:
            Best first; only the answer itself when the model does not tell its classes.
        """
        if not self.classes:
            return [ClassProbability(label=self.label, probability=self.probability)]
        ranked = sorted(zip(self.probabilities, self.classes, strict=True), key=lambda p: -p[0])
        return [ClassProbability(label=label, probability=p) for p, label in ranked[:count]]


def make_answer(
    outputs: dict[str, NDArray[Any]], *, classes: tuple[str, ...], version: int, model_ms: float
) -> ModelAnswer:
    """Make an answer of the outputs of `serving_default` for one image.

    Args:
        outputs: output name to value, batch of one.
        classes: class names of that version, or empty.
        version: the version that answered.
        model_ms: how long it took, milliseconds.

    Returns:
        The answer.

    Raises:
        UpstreamError: an output is missing, or the batch is not one image.
    """
    missing = [name for name in ANSWER_OUTPUTS if name not in outputs]
    if missing:
        raise UpstreamError(
            f"version {version} answers {sorted(outputs)}, expected also {missing}. Serve a model "
            "that Loupe exported."
        )
    sizes = {name: len(outputs[name]) for name in ANSWER_OUTPUTS}
    probabilities = outputs[OUTPUT_PROBABILITIES]
    if set(sizes.values()) != {1} or (classes and probabilities.shape != (1, len(classes))):
        raise UpstreamError(
            f"version {version} answers {sizes} images with probabilities of shape "
            f"{probabilities.shape}, expected 1 image and {len(classes)} classes."
        )
    return ModelAnswer(
        label=outputs[OUTPUT_LABEL][0].decode(),
        label_id=int(outputs[OUTPUT_LABEL_ID][0]),
        probability=_clip(outputs[OUTPUT_PROBABILITY][0]),
        probabilities=tuple(_clip(value) for value in probabilities[0].tolist()),
        classes=classes,
        needs_review=bool(outputs[OUTPUT_NEEDS_REVIEW][0]),
        version=version,
        model_ms=model_ms,
    )


def read_classes(outputs: dict[str, NDArray[Any]]) -> tuple[str, ...]:
    """Read the class names of a version.

    Args:
        outputs: output name to value.

    Returns:
        Names in the order of the probabilities; empty when the model does not tell them.
    """
    if OUTPUT_CLASSES not in outputs:
        return ()
    return tuple(name.decode() for name in outputs[OUTPUT_CLASSES][0])


def _clip(value: float) -> float:
    # A float32 softmax may end a rounding error above 1.
    return min(1.0, max(0.0, float(value)))
