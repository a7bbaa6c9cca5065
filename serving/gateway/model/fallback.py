"""What is answered when the model server is gone."""

import dataclasses
from pathlib import Path
from typing import Protocol

from serving.gateway.model.answers import ModelAnswer
from serving.gateway.records import Route
from serving.gateway.settings import FallbackSettings
from serving.gateway.uploads.images import CheckedImage


class StandIn(Protocol):
    """A model in this process."""

    async def predict(self, image: CheckedImage) -> ModelAnswer:
        """Say what an image shows.

        Args:
            image: a checked picture.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""


@dataclasses.dataclass(frozen=True, slots=True)
class FallbackAnswer:
    """An answer that is not the served model's.

    Attributes:
        answer: what to work on with.
        route: where it comes from.
    """

    answer: ModelAnswer
    route: Route


class Fallback:
    """Stands in for the model server by policy.

    Args:
        settings: the policy.

    Raises:
        ConfigError: the fallback model cannot be loaded.
    """

    def __init__(self, settings: FallbackSettings) -> None:
        self._policy = settings.policy
        self._model: StandIn | None = None
        if settings.lite_model_file and settings.labels_file and settings.policy == "model":
            self._model = _load_model(settings.lite_model_file, settings.labels_file)

    def can_answer(self, default_label: str) -> bool:
        """Tell whether there would be an answer.

        Args:
            default_label: default answer of the business rules; empty for none.

        Returns:
            Whether `predict` gives one.
        """
        return self._model is not None or (self._policy == "default" and bool(default_label))

    async def predict(self, image: CheckedImage, default_label: str) -> FallbackAnswer | None:
        """Answer in place of the model server.

        Args:
            image: a checked picture.
            default_label: default answer of the business rules; empty for none.

        Returns:
            The answer; None when the policy has none.
        """
        if self._model is not None:
            return FallbackAnswer(await self._model.predict(image), Route.FALLBACK_MODEL)
        if not self.can_answer(default_label):
            return None
        answer = ModelAnswer(
            label=default_label,
            label_id=0,
            probability=0.0,
            probabilities=(),
            classes=(),
            needs_review=True,
            version=0,
        )
        return FallbackAnswer(answer, Route.FALLBACK_DEFAULT)

    def close(self) -> None:
        """Free what it holds."""
        if self._model is not None:
            self._model.close()


def _load_model(file: Path, labels_file: Path) -> StandIn:
    # Imported here: only this policy pays for LiteRT's memory.
    from serving.gateway.model.lite import LiteModel

    return LiteModel(file, labels_file)
