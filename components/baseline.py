"""The model that a candidate must not be worse than: the last blessed one before it."""

from dataclasses import dataclass
from typing import Any

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import (
    LatestBlessedModelStrategy,
)
from tfx.types import BaseChannel, Channel, standard_artifacts


@dataclass(frozen=True)
class Baseline:
    """What the candidate is compared with, and what finds it.

    Attributes:
        model: channel of the last blessed model, empty when there is none.
        nodes: what fills the channel.
    """

    model: BaseChannel
    nodes: tuple[BaseNode, ...]


CANDIDATE_KEY = "candidate"
MODEL_KEY = "model"


class LastBlessedModelStrategy(LatestBlessedModelStrategy):
    """Finds the newest blessed model that is not the candidate itself.

    TFX's own strategy finds the candidate when a run is repeated on unchanged data; the baseline
    then differs from the first run's, and everything from the Evaluator on is done again.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[Any]]
    ) -> dict[str, list[Any]] | None:
        """Look for the baseline.

        Args:
            store: ML Metadata.
            input_dict: every model and blessing of the pipeline, and the candidate.

        Returns:
            The baseline and its blessing, empty lists without one, and the candidate.
        """
        candidates = input_dict[CANDIDATE_KEY]
        candidate_ids = {model.id for model in candidates}
        others = [model for model in input_dict[MODEL_KEY] if model.id not in candidate_ids]
        rest = {key: value for key, value in input_dict.items() if key != CANDIDATE_KEY}
        resolved = super().resolve_artifacts(store, {**rest, MODEL_KEY: others})
        return {CANDIDATE_KEY: candidates, **(resolved or {})}


def build_baseline_resolver(candidate: BaseChannel) -> Baseline:
    """Build what looks the baseline up in ML Metadata.

    Args:
        candidate: the model that was just trained.

    Returns:
        The baseline; its channel is empty when no other model was ever blessed.
    """
    resolver = Resolver(
        strategy_class=LastBlessedModelStrategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        candidate=candidate,
    ).with_id("LastBlessedModel")
    return Baseline(model=resolver.outputs[MODEL_KEY], nodes=(resolver,))
