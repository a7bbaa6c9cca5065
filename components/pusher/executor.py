"""The executor behind ImagePusher."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tfx.components.pusher import executor as tfx_executor
from tfx.types import artifact_utils

from components.evaluator.report import read_report as read_evaluation
from components.example_gen.report import read_report as read_ingest_report
from components.infra_validator.report import REPORT_FILENAME as INFRA_REPORT_FILENAME
from components.pusher.manifest import git_commit, sha256_of_folder, write_manifest
from components.pusher.versions import publish
from configs.buckets import is_in_bucket
from data.places import Place, local_copy, place_of
from schema.features import ASSETS_EXTRA_FOLDER, WARMUP_FILENAME
from trainer.run_fn import HYPERPARAMETERS_FILENAME

logger = logging.getLogger("loupe.pusher")


class Executor(tfx_executor.Executor):
    """Pushes with both blessings, or says that it did not."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Push the model.

        Args:
            input_dict: `model`, `model_blessing`, `infra_blessing`, and what the manifest tells
                of: `examples`, `schema`, `transform_graph`, `model_run`, `evaluation`.
            output_dict: `pushed_model`.
            exec_properties: `folder` of the version folders and `model_name`.
        """
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        if not self.CheckBlessing(input_dict):
            logger.warning("not pushed: the model is not blessed")
            self._MarkNotPushed(pushed)
            return
        facts = _facts(input_dict, exec_properties["model_name"])
        blessing = artifact_utils.get_single_uri(input_dict["infra_blessing"])
        warmup = place_of(blessing) / WARMUP_FILENAME

        def prepare(folder: Path, version: int) -> None:
            if warmup.exists():
                extra = folder / ASSETS_EXTRA_FOLDER
                extra.mkdir(exist_ok=True)
                (extra / WARMUP_FILENAME).write_bytes(warmup.read_bytes())
            created = datetime.now(UTC).isoformat(timespec="seconds")
            write_manifest(folder, {**facts, "version": version, "created": created})

        with local_copy(self.GetModelPath(input_dict)) as model_path:
            version, path = publish(model_path, exec_properties["folder"], prepare)
        logger.info("pushed version %d to %s", version, path)
        self._MarkPushed(pushed, pushed_destination=path, pushed_version=str(version))
        _point_to(pushed, path)


def _facts(input_dict: dict[str, list[Any]], model_name: str) -> dict[str, Any]:
    folders = {
        key: place_of(artifact_utils.get_single_uri(artifacts))
        for key, artifacts in input_dict.items()
    }
    ingest = read_ingest_report(folders["examples"])
    evaluation = read_evaluation(folders["evaluation"])
    infra_report = folders["infra_blessing"] / INFRA_REPORT_FILENAME
    return {
        "model_name": model_name,
        "git_commit": git_commit(),
        "spans": ingest.spans,
        "num_images": ingest.num_images,
        "images_per_class": ingest.images_per_class,
        "schema_sha256": _sha256_of(folders["schema"]),
        "transform_sha256": _sha256_of(folders["transform_graph"]),
        "hyperparameters": json.loads(
            (folders["model_run"] / HYPERPARAMETERS_FILENAME).read_text()
        ),
        "metrics": evaluation.metrics,
        "baseline_metrics": evaluation.baseline_metrics,
        "infra": json.loads(infra_report.read_text()) if infra_report.exists() else {},
    }


def _sha256_of(folder: Place) -> str:
    with local_copy(str(folder)) as copy:
        return sha256_of_folder(copy)


def _point_to(pushed: Any, path: str) -> None:
    # TFX reuses a cached result only while its folder exists: a link to the version folder makes a
    # run push again when somebody deleted that version. A bucket has no links.
    if not is_in_bucket(path) and not is_in_bucket(pushed.uri):
        folder = Path(pushed.uri)
        folder.rmdir()
        folder.symlink_to(path, target_is_directory=True)
