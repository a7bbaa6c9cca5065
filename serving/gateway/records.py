"""What is remembered of a prediction."""

import dataclasses
import datetime
from enum import StrEnum
from typing import Any


class Route(StrEnum):
    """Which model answered."""

    STABLE = "stable"
    CANARY = "canary"
    SHADOW = "shadow"
    FALLBACK_MODEL = "fallback_model"
    FALLBACK_DEFAULT = "fallback_default"


class ReviewReason(StrEnum):
    """Why a human should look."""

    MODEL = "model_uncertain"
    PROBABILITY = "low_probability"
    MARGIN = "small_margin"
    CLASS_THRESHOLD = "below_class_threshold"
    DENIED = "denied_label"
    FALLBACK = "fallback"
    COMPLAINT = "complaint"


class ReviewStatus(StrEnum):
    """What became of a picture that a human should look at."""

    WAITING = "waiting"
    DECIDED = "decided"
    DISCARDED = "discarded"
    EXPIRED = "expired"


@dataclasses.dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One answered prediction; the row of the table `predictions`.

    Attributes:
        request_id: 32 hexadecimal digits, unique: what makes a replay harmless.
        created_at: when it was answered, UTC.
        key_id: who asked.
        model_name: the model.
        model_version: version that answered; 0 for a fallback.
        label: the answer after the business rules.
        model_label: the model's own answer.
        probability: of the model's answer, 0..1.
        margin: distance to the second most probable class, 0..1.
        top_k: the most probable classes and their probabilities, best first.
        needs_review: whether a human should look.
        review_reasons: why.
        route: which model answered.
        rules_version: version of the business rules that were applied.
        image_format: `jpeg`, `png`, `bmp`, `gif` or `webp`.
        image_bytes: size of the upload, bytes.
        image_width: columns as stored.
        image_height: rows as stored.
        image_brightness: see `data.quality`.
        image_contrast: see `data.quality`.
        image_sharpness: see `data.quality`.
        image_saturation: see `data.quality`.
        image_dhash: perceptual hash, 16 hexadecimal digits.
        latency_ms: from the first byte of the request to the answer, milliseconds.
        model_ms: of that, waiting for the model server, milliseconds.
        review_image: the picture without metadata, PNG; None unless kept for review.
    """

    request_id: str
    created_at: datetime.datetime
    key_id: str
    model_name: str
    model_version: int
    label: str
    model_label: str
    probability: float
    margin: float
    top_k: list[dict[str, Any]]
    needs_review: bool
    review_reasons: list[str]
    route: Route
    rules_version: int
    image_format: str
    image_bytes: int
    image_width: int
    image_height: int
    image_brightness: float
    image_contrast: float
    image_sharpness: float
    image_saturation: float
    image_dhash: str
    latency_ms: float
    model_ms: float
    review_image: bytes | None = None
