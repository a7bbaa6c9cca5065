"""`loupe schema freeze`: this run's schema becomes the curated one."""

import os
from pathlib import Path

from configs.errors import DataError
from configs.types import PipelineConfig
from configs.workspace import Workspace
from pipeline.dataset import dataset_name, schema_path
from pipeline.outcome import read_outcome
from schema.labels import SCHEMA_FILENAME, labels_of_schema, read_schema


def freeze_schema(config: PipelineConfig, workspace: Workspace) -> Path:
    """Copy the newest run's schema to where it rules.

    Args:
        config: settings; they name the data set.
        workspace: where the run was.

    Returns:
        The curated schema's path.

    Raises:
        DataError: no run of this workspace has made a schema yet.
    """
    stage = read_outcome(workspace.metadata_file).get("SchemaGen")
    if stage is None or not stage.is_complete:
        raise DataError(
            f"no run in '{workspace.root}' has made a schema yet. Run the pipeline there first."
        )
    source = stage.outputs["schema"].uri / SCHEMA_FILENAME
    labels_of_schema(read_schema(source))
    target = schema_path(dataset_name(config))
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(source.read_bytes())
    temporary.rename(target)
    return target
