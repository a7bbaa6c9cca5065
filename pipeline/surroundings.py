"""Where a pipeline runs, as far as the DAG differs by it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.types import BaseChannel

from components.baseline import Baseline, build_baseline_resolver
from configs.types import PipelineConfig
from configs.workspace import Workspace
from pipeline.dataset import Dataset


@dataclass(frozen=True)
class Surroundings:
    """What a runner tells `create_pipeline`.

    Attributes:
        artifacts: root of what the stages hand to each other.
        data_root: folder or manifest of images, or the parameter that says it when a run starts.
        data_version: fingerprint of the images, likewise.
        num_images: how many there are; 0 when that is not known yet.
        curated_schema: the schema that rules; None while there is none.
        epochs: most epochs to train for, or a parameter.
        max_steps: most optimiser steps, or a parameter.
        stop_when_refused: whether a model that InfraValidator refuses ends the run; where the
            cache can be told to forget a refusal, it need not.
        push_folder: folder of the version folders.
        find_baseline: function of the candidate to what looks up the last blessed model.
        build_promotion: function of the candidate and what was pushed to a node that notes it for
            the next run's baseline; None where ML Metadata knows it anyway.
        metadata: ML Metadata's connection; None where the runner has its own.
    """

    artifacts: str
    data_root: str | RuntimeParameter
    data_version: str | RuntimeParameter
    num_images: int
    curated_schema: Path | None
    epochs: int | RuntimeParameter
    max_steps: int | RuntimeParameter
    stop_when_refused: bool
    push_folder: str
    find_baseline: Callable[[BaseChannel], Baseline]
    build_promotion: Callable[[BaseChannel, BaseChannel], BaseNode | None]
    metadata: Any = None


def local_surroundings(
    config: PipelineConfig, workspace: Workspace, dataset: Dataset
) -> Surroundings:
    """Describe this machine.

    Args:
        config: all settings.
        workspace: where artifacts, metadata and models go.
        dataset: the images.

    Returns:
        Surroundings whose values are all known now.
    """
    return Surroundings(
        artifacts=config.artifacts.folder.rstrip("/") or str(workspace.artifacts),
        data_root=str(dataset.root),
        data_version=dataset.version,
        num_images=dataset.num_files,
        curated_schema=dataset.curated_schema,
        epochs=config.train.epochs,
        max_steps=config.train.max_steps,
        stop_when_refused=False,
        push_folder=config.push.folder or str(workspace.serving(config.model_name)),
        find_baseline=build_baseline_resolver,
        build_promotion=lambda _model, _pushed: None,
        metadata=sqlite_metadata_connection_config(str(workspace.metadata_file)),
    )
