"""Codes of the prediction log, as people read them."""

from collections.abc import Mapping
from typing import Final

from serving.gateway.records import ReviewReason, Route

REASONS: Final[Mapping[ReviewReason, str]] = {
    ReviewReason.MODEL: "the model is unsure",
    ReviewReason.PROBABILITY: "low probability",
    ReviewReason.MARGIN: "small lead over the next class",
    ReviewReason.CLASS_THRESHOLD: "below the threshold of its class",
    ReviewReason.DENIED: "never answered without a human",
    ReviewReason.FALLBACK: "answered by the fallback",
    ReviewReason.COMPLAINT: "its owner disagrees",
}
"""Why a human should look, as people read it."""
ROUTES: Final[Mapping[Route, str]] = {
    Route.STABLE: "stable",
    Route.CANARY: "canary",
    Route.SHADOW: "shadow",
    Route.FALLBACK_MODEL: "fallback model",
    Route.FALLBACK_DEFAULT: "default answer",
}
"""Which model answered, as people read it."""
