"""Business rules: what becomes of the model's answer before a user sees it."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from configs.errors import ConfigError
from serving.gateway.database.tables import LABEL_LENGTH
from serving.gateway.records import ReviewReason


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReviewRules(_Strict):
    """Which answers a human looks at.

    Attributes:
        follow_model: answers inside the model's own review band.
        min_probability: answers less probable than this, 0..1.
        min_margin: answers whose lead over the second class is smaller than this, 0..1.
        fallback_per_hour: most answers in an hour that wait only because a fallback gave them.
    """

    follow_model: bool = True
    min_probability: float = Field(default=0.0, ge=0, le=1)
    min_margin: float = Field(default=0.0, ge=0, le=1)
    fallback_per_hour: int = Field(default=100, ge=0, le=100_000)


class ClassRules(_Strict):
    """What one class asks for.

    Attributes:
        min_probability: below it the answer becomes the default answer, 0..1.
    """

    min_probability: float = Field(default=0.0, ge=0, le=1)


class RetentionRules(_Strict):
    """How long things are kept.

    Attributes:
        prediction_days: rows of predictions and their feedback.
        review_image_days: pictures that wait for, or went through, review.
    """

    prediction_days: int = Field(default=90, ge=1)
    review_image_days: int = Field(default=30, ge=0)


class BusinessRules(_Strict):
    """The whole file.

    Attributes:
        review: which answers a human looks at.
        classes: class name to what it asks for.
        deny: classes that are never answered without a human.
        default_answer: label given instead of a denied or too improbable one, and when the model
            server is gone; empty keeps the model's label, and then nothing replaces a lost server.
        retention: how long things are kept.
    """

    review: ReviewRules = ReviewRules()
    classes: dict[str, ClassRules] = Field(default_factory=dict)
    deny: frozenset[str] = frozenset()
    default_answer: str = Field(default="", max_length=LABEL_LENGTH)
    retention: RetentionRules = RetentionRules()

    @field_validator("default_answer")
    @classmethod
    def _check_printable(cls, label: str) -> str:
        # It becomes a column of every record: what a database refuses would lose them all.
        if not label.isprintable():
            raise ValueError(f"got {label!a}, expected printable characters. Correct it.")
        return label

    def fingerprint(self) -> str:
        """Identify the rules by their content.

        Returns:
            SHA-256 of their canonical JSON, in hexadecimal.
        """
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Write the rules in one form, whatever the file looked like.

        Returns:
            JSON with sorted keys.
        """
        content: dict[str, Any] = self.model_dump(mode="json")
        content["deny"] = sorted(content["deny"])
        return json.dumps(content, sort_keys=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """The answer after the rules.

    Attributes:
        label: what the user is told.
        reasons: why a human should look; empty when nobody has to.
    """

    label: str
    reasons: tuple[ReviewReason, ...]


def decide(
    rules: BusinessRules, *, label: str, probability: float, margin: float, model_needs_review: bool
) -> Decision:
    """Apply the rules to an answer of the model.

    Args:
        rules: the rules.
        label: the model's answer.
        probability: of that answer, 0..1.
        margin: its lead over the second class, 0..1.
        model_needs_review: whether the answer lies in the model's own review band.

    Returns:
        The label to answer with, and why a human should look.
    """
    reasons: list[ReviewReason] = []
    threshold = rules.classes[label].min_probability if label in rules.classes else 0.0
    is_denied, is_below = label in rules.deny, probability < threshold
    if is_denied:
        reasons.append(ReviewReason.DENIED)
    if is_below:
        reasons.append(ReviewReason.CLASS_THRESHOLD)
    if probability < rules.review.min_probability:
        reasons.append(ReviewReason.PROBABILITY)
    if margin < rules.review.min_margin:
        reasons.append(ReviewReason.MARGIN)
    if model_needs_review and rules.review.follow_model:
        reasons.append(ReviewReason.MODEL)
    is_replaced = (is_denied or is_below) and rules.default_answer
    return Decision(rules.default_answer if is_replaced else label, tuple(reasons))


def read_rules(file: Path) -> BusinessRules:
    """Read a rules file.

    Args:
        file: a YAML file.

    Returns:
        The checked rules.

    Raises:
        ConfigError: no such file, text that does not parse, an unknown rule or a bad value.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"rules '{file}' cannot be read: {error}. Give a YAML file.") from error
    try:
        return BusinessRules.model_validate({} if content is None else content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ConfigError(
            f"rules '{file}': {problems}. Expected the rules of docs/rules.md; correct the file."
        ) from error
