"""What Kubeflow's launcher hands to a container and reads back, in the form that TFX expects.

The launcher copies inputs from the object store to local folders and outputs back. Its messages
name the remote places, which TFX cannot open; here they become the local ones and afterwards the
remote ones again.

Source: kubeflow/pipelines, backend/src/v2/component/launcher_v2.go and backend/src/v2/metadata.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from configs.errors import StageError
from configs.kubeflow import BASELINE_VERSION

LOCAL_FOLDERS = {"gs://": "gcs", "s3://": "s3", "minio://": "minio"}
"""Where the launcher copies what a URI names, below the root folder: LocalPathForURI."""
LOGS_KEY = "executor-logs"
"""An output that the driver adds and the launcher writes; its type is none of TFX's."""
OPTIONAL_INPUTS = frozenset({"baseline_model"})
"""Inputs that a stage can do without. Others stay, copied or not: the Pusher would take a missing
blessing for one that nobody asked for."""
_NEVER_STORED = frozenset({"pushed_model"})
"""Its folder is a link to the pushed version, which `unlink_outputs` removes."""
_WRAPPERS = ({"struct"}, {"list"})


def parse_messages(
    executor_input: str, inputs_spec: str
) -> tuple[pipeline_spec_pb2.ExecutorInput, pipeline_spec_pb2.ComponentInputsSpec]:
    """Read what the launcher and the compiled file say of a task.

    Args:
        executor_input: the launcher's message, JSON.
        inputs_spec: the component's inputs as compiled, JSON.

    Returns:
        Both as messages.

    Raises:
        StageError: one of them is not what it should be.
    """
    messages = (pipeline_spec_pb2.ExecutorInput(), pipeline_spec_pb2.ComponentInputsSpec())
    for text, message in zip((executor_input, inputs_spec), messages, strict=True):
        try:
            # A later Kubeflow may send fields that this one does not know.
            json_format.Parse(text, message, ignore_unknown_fields=True)
        except json_format.ParseError as error:
            kind = type(message).__name__
            raise StageError(
                f"the {kind} of this task cannot be read: {error}. Expected what Kubeflow "
                "Pipelines 2.5 to 2.17 sends; compile the pipeline again, or look at the version "
                "of the cluster."
            ) from error
    return messages


def local_path(uri: str, local_root: Path) -> str:
    """Say where the launcher keeps its copy of an artifact.

    Args:
        uri: remote place of the artifact.
        local_root: folder that stands for the root folder; not `/` in tests only.

    Returns:
        A path; the URI itself where the launcher copies nothing.
    """
    for scheme, folder in LOCAL_FOLDERS.items():
        if uri.startswith(scheme):
            return str(local_root / folder / uri.removeprefix(scheme))
    return uri


@dataclass(frozen=True)
class Places:
    """Local paths of a task's artifacts and the remote places they stand for.

    Attributes:
        remote_by_local: remote URI by local path.
    """

    remote_by_local: dict[str, str]

    def to_remote(self, value: Any) -> Any:
        """Name the remote place wherever a value names a local one.

        Args:
            value: JSON; texts may be paths, or hold them.

        Returns:
            The same without what is null, which the launcher refuses.
        """
        if isinstance(value, dict):
            return {k: self.to_remote(v) for k, v in value.items() if v is not None}
        if isinstance(value, list):
            return [self.to_remote(item) for item in value if item is not None]
        if isinstance(value, str):
            for local in sorted(self.remote_by_local, key=len, reverse=True):
                value = value.replace(local, self.remote_by_local[local])
        return value


def localize(
    executor_input: pipeline_spec_pb2.ExecutorInput,
    inputs_spec: pipeline_spec_pb2.ComponentInputsSpec,
    local_root: Path,
) -> Places:
    """Turn a launcher's message into one that TFX can read.

    Args:
        executor_input: the launcher's message; it is changed. Input artifacts get their types and
            lose the wrapping of their metadata, all artifacts get local paths, the log is no longer
            an output, and an optional input of which nothing was copied is no longer an input.
        inputs_spec: the component's inputs, as compiled.
        local_root: folder that stands for the root folder; not `/` in tests only.

    Returns:
        How to name the remote places afterwards.

    Raises:
        StageError: an input that the compiled component does not have, or a baseline that there is
            and that was not copied.
    """
    executor_input.outputs.artifacts.pop(LOGS_KEY, None)
    remote_by_local: dict[str, str] = {}
    for key, artifacts in executor_input.inputs.artifacts.items():
        if key not in inputs_spec.artifacts:
            raise StageError(
                f"input '{key}' is not among the compiled inputs {sorted(inputs_spec.artifacts)}, "
                "so its type is unknown. Compile the pipeline again with spec 2.1."
            )
        for artifact in artifacts.artifacts:
            artifact.type.CopyFrom(inputs_spec.artifacts[key].artifact_type)
            _unwrap(artifact.metadata)
            _move(artifact, local_root, remote_by_local)
    for key, artifacts in executor_input.outputs.artifacts.items():
        for artifact in artifacts.artifacts:
            artifact.name = artifact.name or key  # the driver names outputs from 2.15 on
            _move(artifact, local_root, remote_by_local)
    places = Places(remote_by_local)
    _drop_absent(executor_input, places)
    return places


def require_inputs(executor_input: pipeline_spec_pb2.ExecutorInput, places: Places) -> None:
    """Refuse to work without an input that the launcher should have copied.

    It copies whatever is below the input's place in the object store, and does not mind when that
    is nothing. The cache still names results whose files somebody deleted.

    Args:
        executor_input: with local paths, as `localize` left it.
        places: as `localize` returned them.

    Raises:
        StageError: nothing is there of an input.
    """
    absent = {
        key: places.to_remote(artifact.uri)
        for key, artifacts in executor_input.inputs.artifacts.items()
        for artifact in artifacts.artifacts
        if key not in _NEVER_STORED
        and artifact.uri in places.remote_by_local
        and not Path(artifact.uri).exists()
    }
    if absent:
        raise StageError(
            f"nothing is in the object store of {', '.join(sorted(absent))}, expected files below "
            f"{', '.join(sorted(absent.values()))}: somebody or a rule of the bucket deleted what "
            "the cache still names. Start the run with another --data-version, which makes "
            "everything anew."
        )


def delocalize(output: pipeline_spec_pb2.ExecutorOutput, places: Places) -> None:
    """Turn what TFX answers into what the launcher can store.

    Args:
        output: what TFX answers; it is changed. Remote places stand for local ones, and there are
            no nulls.
        places: as `localize` returned them.
    """
    for artifacts in output.artifacts.values():
        for artifact in artifacts.artifacts:
            artifact.uri = places.to_remote(artifact.uri)
            metadata = places.to_remote(json_format.MessageToDict(artifact.metadata))
            artifact.metadata.Clear()
            artifact.metadata.update(metadata)


def unlink_outputs(executor_input: pipeline_spec_pb2.ExecutorInput) -> None:
    """Remove outputs that are links: the launcher would upload what they lead to.

    The Pusher leaves one to the version that it pushed, of which TFX's own runners make use.

    Args:
        executor_input: with local paths, as `localize` left it.
    """
    for artifacts in executor_input.outputs.artifacts.values():
        for artifact in artifacts.artifacts:
            path = Path(artifact.uri)
            if path.is_symlink():
                path.unlink()


def _move(
    artifact: pipeline_spec_pb2.RuntimeArtifact, local_root: Path, remote_by_local: dict[str, str]
) -> None:
    remote = artifact.uri
    artifact.uri = local_path(remote, local_root)
    if artifact.uri != remote:
        remote_by_local[artifact.uri] = remote


def _unwrap(metadata: struct_pb2.Struct) -> None:
    # ML Metadata knows no lists: the launcher stores {"list": [...]} and never takes it off again.
    for value in metadata.fields.values():
        if set(value.struct_value.fields) in _WRAPPERS:
            (inner,) = value.struct_value.fields.values()
            value.CopyFrom(struct_pb2.Value.FromString(inner.SerializeToString()))


def _drop_absent(executor_input: pipeline_spec_pb2.ExecutorInput, places: Places) -> None:
    for key in OPTIONAL_INPUTS & set(executor_input.inputs.artifacts):
        absent = [
            artifact
            for artifact in executor_input.inputs.artifacts[key].artifacts
            if not Path(artifact.uri).exists()
        ]
        for artifact in absent:
            if version := artifact.metadata.fields[BASELINE_VERSION].string_value:
                raise StageError(
                    f"the baseline, a copy of version {version}, is not at "
                    f"{places.to_remote(artifact.uri)} any more, and without it any model would "
                    "pass: somebody or a rule of the bucket deleted what the cache still names. "
                    "Upload a version with kubeflow.stages.LastBlessedModel.cache=off and run it."
                )
        if absent:
            del executor_input.inputs.artifacts[key]
