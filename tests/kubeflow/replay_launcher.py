"""What the launcher inside a pod does around the command.

Source: kubeflow/pipelines, backend/src/v2/component/launcher_v2.go.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from replay_driver import LOGS_KEY, KubeflowVersion
from replay_store import Bucket, Execution, LauncherError, Metadata, local_path

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 600


class TaskFailedError(Exception):
    """A command that ended with another status than 0."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"failed to execute component: exit status {exit_code}")
        self.exit_code = exit_code


@dataclass(frozen=True)
class Launcher:
    """Launches one container in a pod of its own."""

    bucket: Bucket
    metadata: Metadata
    version: KubeflowVersion
    local_root: Path

    def launch(
        self,
        message: pipeline_spec_pb2.ExecutorInput,
        container: Any,
        environment: dict[str, str],
        log_file: Path,
    ) -> Execution:
        """Download, run, upload, record."""
        for artifacts in message.inputs.artifacts.values():
            for artifact in artifacts.artifacts:
                self.bucket.download(
                    artifact.uri,
                    self._local(artifact.uri),
                    matches_bare_prefixes=self.version.matches_bare_prefixes,
                )
        if self.version.numbers_logs and LOGS_KEY in message.outputs.artifacts:
            message.outputs.artifacts[LOGS_KEY].artifacts[0].uri += "-0"
        for artifacts in message.outputs.artifacts.values():
            for artifact in artifacts.artifacts:
                self._local(artifact.uri).parent.mkdir(parents=True, exist_ok=True)
        for parameter in message.outputs.parameters.values():
            Path(parameter.output_file).parent.mkdir(parents=True, exist_ok=True)
        exit_code = self._run(message, container, environment, log_file)
        if exit_code != 0:
            self._upload(message, pipeline_spec_pb2.ExecutorOutput(), only={LOGS_KEY})
            raise TaskFailedError(exit_code)
        output = _read_output(Path(message.outputs.output_file))
        for name in message.outputs.parameters:
            if name not in output.parameter_values:
                raise LauncherError(f"failed to read output parameter name={name!r}")
        artifacts = self._upload(message, output, only=set(message.outputs.artifacts))
        return Execution(artifacts, dict(output.parameter_values))

    def _run(self, message: Any, container: Any, environment: dict[str, str], log: Path) -> int:
        text = json_format.MessageToJson(message, indent=None)
        command = [part.replace("{{$}}", text) for part in (*container.command, *container.args)]
        for part in command:
            if "{{$" in part:
                raise LauncherError(f"placeholder that is not replayed: {part[:80]}")
        with log.open("wb") as file:
            done = subprocess.run(
                command,
                cwd=REPOSITORY,
                env=self._environment(container, environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        if LOGS_KEY in message.outputs.artifacts:
            (artifact,) = message.outputs.artifacts[LOGS_KEY].artifacts
            self._local(artifact.uri).write_bytes(log.read_bytes())
        return done.returncode

    def _environment(self, container: Any, environment: dict[str, str]) -> dict[str, str]:
        home = self.local_root / "home"
        temporary = self.local_root / "tmp"
        home.mkdir(exist_ok=True)
        temporary.mkdir(exist_ok=True)
        # Nothing of this process: a pod has the image's variables and those of the compiled file.
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "LOUPE_KUBEFLOW_LOCAL_ROOT": str(self.local_root),
            **{variable.name: variable.value for variable in container.env},
            **environment,
        }

    def _upload(self, message: Any, output: Any, only: set[str]) -> dict[str, Any]:
        recorded: dict[str, Any] = {}
        for key, artifacts in message.outputs.artifacts.items():
            if key not in only:
                continue
            (artifact,) = artifacts.artifacts
            if key in output.artifacts and key != LOGS_KEY:
                (answer,) = output.artifacts[key].artifacts
                artifact.uri = answer.uri or artifact.uri
                artifact.metadata.MergeFrom(answer.metadata)
            # A missing path is a warning to the launcher.
            with contextlib.suppress(FileNotFoundError):
                self.bucket.upload(self._local(artifact.uri), artifact.uri)
            recorded[key] = self.metadata.record(key, artifact)
        return recorded

    def _local(self, uri: str) -> Path:
        return local_path(uri, self.local_root)


def _read_output(path: Path) -> pipeline_spec_pb2.ExecutorOutput:
    output = pipeline_spec_pb2.ExecutorOutput()
    if not path.exists():
        return output
    try:
        return json_format.Parse(path.read_text(), output)
    except json_format.ParseError as error:
        raise LauncherError(f"failed to unmarshall ExecutorOutput: {error}") from error


@contextlib.contextmanager
def mounted(mounts: list[tuple[Path, str]]) -> Iterator[None]:
    """Show volumes at their mount paths for as long as a pod lives, as links."""
    links: list[Path] = []
    try:
        for volume, path in mounts:
            link = Path(path)
            if link.exists() or link.is_symlink():
                raise LauncherError(f"'{path}' is there without being mounted")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(volume, target_is_directory=True)
            links.append(link)
        yield
    finally:
        for link in links:
            link.unlink()
