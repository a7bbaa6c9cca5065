"""The folders of a workspace: everything a run writes lies below one root."""

import re
from dataclasses import dataclass
from pathlib import Path

from configs.errors import ConfigError


@dataclass(frozen=True)
class Workspace:
    """Paths below one root folder.

    Attributes:
        root: absolute path of the workspace.
    """

    root: Path

    @classmethod
    def at(cls, folder: str | Path) -> "Workspace":
        """Find the workspace of a folder.

        Args:
            folder: its path, perhaps relative.

        Returns:
            The workspace.

        Raises:
            ConfigError: it is a URL.
        """
        if address := re.match(r"([a-z][a-z0-9+.-]*):/+(.*)", str(folder)):  # Path keeps one slash
            raise ConfigError(
                f"workspace '{address[1]}://{address[2]}' is a URL, expected a folder of this "
                "machine: metadata, logs and locks are files. Only data (--data) and artifacts "
                "(--set artifacts.folder=gs://...) may be in a bucket."
            )
        return cls(Path(folder).resolve())

    @property
    def sample_data(self) -> Path:
        """Folder of the built-in sample data."""
        return self.root / "sample-data"

    @property
    def unpacked(self) -> Path:
        """Folder of archives' contents."""
        return self.root / "unpacked"

    @property
    def artifacts(self) -> Path:
        """Root of what the stages hand to each other."""
        return self.root / "artifacts"

    @property
    def metadata_file(self) -> Path:
        """SQLite file of ML Metadata."""
        return self.root / "metadata.sqlite"

    @property
    def runs(self) -> Path:
        """Folder with one folder per run: log, events and summary."""
        return self.root / "runs"

    @property
    def latest_run(self) -> Path:
        """Link to the folder of the newest run."""
        return self.runs / "latest"

    @property
    def lock_file(self) -> Path:
        """File that the one running pipeline of this workspace holds locked."""
        return self.root / "run.lock"

    @property
    def kubeflow(self) -> Path:
        """Folder of compiled pipelines."""
        return self.root / "kubeflow"

    @property
    def gateway_state(self) -> Path:
        """Folder of the prediction API: its SQLite file, spool and secret."""
        return self.root / "gateway"

    def compiled_pipeline(self, pipeline_name: str) -> Path:
        """Say where a pipeline is compiled to.

        Args:
            pipeline_name: name of the pipeline.

        Returns:
            A YAML file for Kubeflow Pipelines.
        """
        return self.kubeflow / f"{pipeline_name}.yaml"

    def serving(self, model_name: str) -> Path:
        """Folder of a model's version folders.

        Args:
            model_name: name under which the model is served.

        Returns:
            The folder a model server is pointed at.
        """
        return self.root / "serving" / model_name
