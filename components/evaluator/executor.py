"""TFX's Evaluator, told the labels of both models, saying its reasons."""

import json
import logging
from typing import Any

import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tfx.components.evaluator import constants
from tfx.components.evaluator import executor as tfx_executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import path_utils

from components.evaluator.names import BASELINE, CANDIDATE
from components.evaluator.report import build_report, write_report
from data.places import place_of
from schema.features import ASSETS_FOLDER, LABELS_FILENAME

logger = logging.getLogger("loupe.evaluator")

_MODEL_INPUTS = {
    CANDIDATE: standard_component_specs.MODEL_KEY,
    BASELINE: standard_component_specs.BASELINE_MODEL_KEY,
}


class Executor(tfx_executor.Executor):
    """Evaluates the candidate, against the last blessed model when there is one."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluate and decide.

        Args:
            input_dict: `examples`, `model` and perhaps `baseline_model`.
            output_dict: `evaluation` and `blessing`.
            exec_properties: TFX's.
        """
        labels_by_model = {
            name: _read_labels(input_dict[key])
            for name, key in _MODEL_INPUTS.items()
            if input_dict.get(key)
        }
        exec_properties = {
            **exec_properties,
            standard_component_specs.EVAL_CONFIG_KEY: _with_labels(
                exec_properties[standard_component_specs.EVAL_CONFIG_KEY], labels_by_model
            ),
            "custom_extractors": "components.evaluator.extractors.custom_extractors",
        }
        super().Do(input_dict, output_dict, exec_properties)
        evaluation = artifact_utils.get_single_uri(
            output_dict[standard_component_specs.EVALUATION_KEY]
        )
        blessing = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.BLESSING_KEY]
        )
        is_blessed = (
            blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY)
            == constants.BLESSED_VALUE
        )
        report = build_report(
            evaluation, is_blessed=is_blessed, has_baseline=BASELINE in labels_by_model
        )
        write_report(place_of(evaluation), report)
        for reason in report.reasons:
            logger.warning("not blessed: %s", reason)


def _with_labels(eval_config_json: str, labels_by_model: dict[str, list[str]]) -> str:
    config: Any = json_format.Parse(eval_config_json, tfma.EvalConfig())
    for spec in list(config.model_specs):
        if spec.name not in labels_by_model:
            config.model_specs.remove(spec)
    config.metrics_specs[0].metrics[0].config = json.dumps({"labels_by_model": labels_by_model})
    return json_format.MessageToJson(config)


def _read_labels(models: list[Any]) -> list[str]:
    model = artifact_utils.get_single_instance(models)
    folder = path_utils.serving_model_path(model.uri, path_utils.is_old_model_artifact(model))
    path = place_of(folder) / ASSETS_FOLDER / LABELS_FILENAME
    return path.read_text(encoding="utf-8").splitlines()
