"""The executors behind the nodes of `components.blessed.component`."""

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.dsl.io import fileio
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.blessed.pointer import (
    BlessedVersion,
    find_baseline_version,
    promote,
    version_folder,
)
from components.pusher.manifest import sha256_of_folder
from components.pusher.versions import SAVED_MODEL_FILENAME
from configs.errors import StageError
from configs.kubeflow import BASELINE_VERSION

logger = logging.getLogger("loupe.blessed")


class LastBlessedVersionExecutor(base_executor.BaseExecutor):
    """Says which version is the baseline."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Look the baseline up.

        Args:
            input_dict: `model`, the candidate.
            output_dict: `version`, a String; empty when there is no baseline.
            exec_properties: `folder` of the version folders.
        """
        candidate = _fingerprint(input_dict["model"])
        version = find_baseline_version(exec_properties["folder"], candidate)
        logger.info("the last blessed version is %s", version or "none")
        output = artifact_utils.get_single_instance(output_dict["version"])
        output.write(str(version or ""))


class LastBlessedModelExecutor(base_executor.BaseExecutor):
    """Fetches the baseline."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],  # noqa: ARG002
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Copy the baseline to where the Evaluator reads it.

        Args:
            input_dict: empty.
            output_dict: `model`; nothing is written when there is no baseline.
            exec_properties: `folder` of the version folders and `version`, which may be empty.

        Raises:
            StageError: the version was there a moment ago and is gone.
        """
        version: str = exec_properties["version"]
        if not version:
            return
        source = version_folder(exec_properties["folder"], int(version))
        if not fileio.exists(f"{source}/{SAVED_MODEL_FILENAME}"):
            raise StageError(
                f"the baseline '{source}' has no {SAVED_MODEL_FILENAME}, expected the version that "
                "LastBlessedVersion found: somebody deleted it meanwhile. Start the run again."
            )
        output = artifact_utils.get_single_instance(output_dict["model"])
        output.set_string_custom_property(BASELINE_VERSION, version)
        _copy_folder(source, Path(path_utils.serving_model_dir(output.uri)))


class PromoteExecutor(base_executor.BaseExecutor):
    """Notes what was pushed as the next run's baseline."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],  # noqa: ARG002
        exec_properties: dict[str, Any],
    ) -> None:
        """Note the pushed version.

        Args:
            input_dict: `pushed_model` and `model`, from which it was made.
            output_dict: empty.
            exec_properties: `folder` of the version folders.
        """
        pushed = artifact_utils.get_single_instance(input_dict["pushed_model"])
        if not pushed.get_int_custom_property("pushed"):
            logger.info("nothing was pushed: the last blessed version stays what it is")
            return
        blessed = BlessedVersion(
            version=int(pushed.get_string_custom_property("pushed_version")),
            model_sha256=_fingerprint(input_dict["model"]),
            promoted=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        is_news = promote(exec_properties["folder"], blessed)
        logger.info(
            "version %d is %s last blessed one",
            blessed.version,
            "now the" if is_news else "known, or older than the",
        )


def _fingerprint(models: list[Any]) -> str:
    model = artifact_utils.get_single_instance(models)
    folder = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
    return sha256_of_folder(Path(folder))


def _copy_folder(source: str, target: Path) -> None:
    for folder, _, names in fileio.walk(source):
        destination = target / os.path.relpath(str(folder), source)
        destination.mkdir(parents=True, exist_ok=True)
        for name in map(str, names):
            fileio.copy(f"{str(folder).rstrip('/')}/{name}", str(destination / name))
