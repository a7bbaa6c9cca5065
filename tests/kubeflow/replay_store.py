"""What outlives a task on Kubeflow: an object store and ML Metadata, as folders and lists.

Source: kubeflow/pipelines, backend/src/v2/objectstore/object_store.go, metadata/converter.go and
component/launcher_v2.go (LocalPathForURI).
"""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format, struct_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

SCHEMES = {"gs://": "gcs", "s3://": "s3", "minio://": "minio"}


class LauncherError(Exception):
    """What the launcher or the driver would end with."""


def local_path(uri: str, local_root: Path) -> Path:
    """Where the launcher keeps its copy; what it has no place for is an error here."""
    for scheme, folder in SCHEMES.items():
        if uri.startswith(scheme):
            return local_root / folder / uri.removeprefix(scheme)
    raise LauncherError(f"failed to generate local path for URI {uri}: unsupported storage scheme")


@dataclass(frozen=True)
class Bucket:
    """A folder as the object store: only files, found by the beginning of their key."""

    folder: Path

    def upload(self, local: Path, uri: str) -> None:
        """Copy a file, or the files of a folder; raises FileNotFoundError when there is neither.

        As UploadBlob, whose first look follows a link and whose next ones do not.
        """
        if not local.exists():
            raise FileNotFoundError(local)
        if not local.is_dir():
            return self._put(local, uri)
        for entry in sorted(os.scandir(local), key=lambda entry: entry.name):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                self.upload(path, f"{uri}/{entry.name}")
            elif path.is_dir():
                raise LauncherError(f"unable to complete copying {path}: read: is a directory")
            else:
                self._put(path, f"{uri}/{entry.name}")
        return None

    def download(self, uri: str, local: Path, *, matches_bare_prefixes: bool) -> None:
        """Copy every file whose key begins with that of the URI; none is no error."""
        root = self._path(uri)
        for path in sorted(root.parent.rglob("*")) if root.parent.is_dir() else ():
            is_below = path == root or root in path.parents
            is_match = str(path).startswith(str(root)) if matches_bare_prefixes else is_below
            if path.is_file() and is_match:
                target = Path(os.path.normpath(local / os.path.relpath(path, root)))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)

    def _put(self, local: Path, uri: str) -> None:
        target = self._path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(local, target)

    def _path(self, uri: str) -> Path:
        return local_path(uri, self.folder)


@dataclass(frozen=True)
class Artifact:
    """An artifact in ML Metadata."""

    id: int
    uri: str
    type_name: str
    properties: dict[str, Any]

    def to_runtime(self) -> pipeline_spec_pb2.RuntimeArtifact:
        """What a driver hands on; the type is lost (`Schema: ""`, with a TODO)."""
        message = pipeline_spec_pb2.RuntimeArtifact(name=str(self.id), uri=self.uri)
        message.type.instance_schema = ""
        message.metadata.update(self.properties)
        return message


@dataclass
class Execution:
    """What a task left in ML Metadata."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    parameters: dict[str, struct_pb2.Value] = field(default_factory=dict)


@dataclass
class Metadata:
    """ML Metadata: every artifact, and the cache by fingerprint."""

    artifacts: list[Artifact] = field(default_factory=list)
    cache: dict[str, Execution] = field(default_factory=dict)

    def record(self, key: str, artifact: pipeline_spec_pb2.RuntimeArtifact) -> Artifact:
        """Store an output as RecordArtifact does; null metadata is an error."""
        properties = {name: _stored(name, v) for name, v in artifact.metadata.fields.items()}
        properties.setdefault("display_name", key)
        properties.setdefault(
            "store_session_info", '{"Provider":"minio","Params":{"fromEnv":"true"}}'
        )
        recorded = Artifact(
            len(self.artifacts) + 1, artifact.uri, _type_name(artifact.type), properties
        )
        self.artifacts.append(recorded)
        return recorded


def _stored(name: str, value: struct_pb2.Value) -> Any:
    plain = json_format.MessageToDict(value)
    match value.WhichOneof("kind"):
        case "string_value":
            return plain
        case "number_value" | "bool_value":
            return float(plain)
        case "list_value":
            return {"list": plain}
        case "struct_value":
            return {"struct": plain}
        case kind:
            raise LauncherError(f"metadata '{name}': unknown/unsupported value type {kind}")


def _type_name(schema: pipeline_spec_pb2.ArtifactTypeSchema) -> str:
    if schema.WhichOneof("kind") == "schema_title":
        return schema.schema_title
    title = (yaml.safe_load(schema.instance_schema) or {}).get("title", "")
    if not title:
        raise LauncherError(f"No title specified in {json.dumps(schema.instance_schema)}")
    return title
