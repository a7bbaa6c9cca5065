"""What the newest run of a pipeline made, read from ML Metadata."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from data.places import Place, place_of

Execution = metadata_store_pb2.Execution


@dataclass(frozen=True)
class Artifact:
    """An output of a stage.

    Attributes:
        uri: its folder, on this machine or in a bucket.
        properties: its custom properties.
    """

    uri: Place
    properties: dict[str, Any]


@dataclass(frozen=True)
class StageOutcome:
    """What one stage did in a run.

    Attributes:
        is_complete: whether it finished, now or before.
        is_cached: whether its result was there already.
        outputs: artifacts by output name.
    """

    is_complete: bool
    is_cached: bool
    outputs: dict[str, Artifact] = field(default_factory=dict[str, Artifact])


def read_outcome(metadata_file: Path) -> dict[str, StageOutcome]:
    """Read the newest run.

    Args:
        metadata_file: SQLite file of ML Metadata.

    Returns:
        Outcomes by node id; empty when nothing ran yet.
    """
    if not metadata_file.exists():
        return {}
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(metadata_file)
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READONLY
    store: Any = ml_metadata.MetadataStore(config)
    runs = store.get_contexts_by_type("pipeline_run")
    if not runs:
        return {}
    newest = max(runs, key=lambda run: run.id)
    return {
        _node_id(execution, store): _stage_outcome(execution, store)
        for execution in store.get_executions_by_context(newest.id)
    }


def _node_id(execution: Any, store: Any) -> str:
    for context in store.get_contexts_by_execution(execution.id):
        if context.type == "node":
            return context.name.rpartition(".")[2]
    return execution.type


def _stage_outcome(execution: Any, store: Any) -> StageOutcome:
    events = [
        event
        for event in store.get_events_by_execution_ids([execution.id])
        if event.type == metadata_store_pb2.Event.OUTPUT
    ]
    artifacts = store.get_artifacts_by_id([event.artifact_id for event in events])
    by_id = {artifact.id: artifact for artifact in artifacts}
    return StageOutcome(
        is_complete=execution.last_known_state in {Execution.COMPLETE, Execution.CACHED},
        is_cached=execution.last_known_state == Execution.CACHED,
        outputs={event.path.steps[0].key: _artifact(by_id[event.artifact_id]) for event in events},
    )


def _artifact(message: Any) -> Artifact:
    properties = {
        name: getattr(value, value.WhichOneof("value"))
        for name, value in message.custom_properties.items()
    }
    return Artifact(uri=place_of(message.uri), properties=properties)
