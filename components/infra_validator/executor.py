"""The executor behind ImageInfraValidator."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tfx.components.infra_validator import executor as tfx_executor
from tfx.dsl.io import fileio
from tfx.proto import infra_validator_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.infra_validator.report import REASON_PROPERTY, write_report
from components.infra_validator.requests import read_examples, write_warmup_requests
from components.infra_validator.trial import Trial, TrialFailedError, run_trial
from configs.errors import StageError
from configs.load import from_json
from configs.types import InfraConfig
from data.places import local_copy, place_of
from schema.features import WARMUP_FILENAME, Signature, Split

logger = logging.getLogger("loupe.infra_validator")

BLESSED_PROPERTY = "blessed"
"""The name under which TFX's Pusher looks for the verdict."""


class Executor(tfx_executor.Executor):
    """Serves the candidate on this machine, or through TFX's own runners elsewhere."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Try the model, and write warm-up requests when it passed.

        Args:
            input_dict: `model` and `examples`.
            output_dict: `blessing`.
            exec_properties: `config`, the JSON of an InfraConfig, `model_name`, and
                `stop_when_refused`: 1 ends the run, which no cache remembers.

        Raises:
            StageError: the model is refused, and that ends the run.
        """
        config = from_json(InfraConfig, exec_properties["config"])
        model_name: str = exec_properties["model_name"]
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        examples_uri = artifact_utils.get_single_uri(input_dict["examples"])
        examples = read_examples(examples_uri, config.num_examples)
        if config.platform == "process":
            self._try_process(input_dict, blessing, config, model_name, examples)
        else:
            super().Do(input_dict, output_dict, _tfx_specs(config, model_name))
            if not blessing.get_int_custom_property(BLESSED_PROPERTY):
                reason = f"TFX's {config.platform} runner could not serve it; the log says why"
                blessing.set_string_custom_property(REASON_PROPERTY, reason)
        if blessing.get_int_custom_property(BLESSED_PROPERTY):
            path = f"{blessing.uri}/{WARMUP_FILENAME}"
            write_warmup_requests(path, examples, model_name)
        elif exec_properties["stop_when_refused"]:
            reason = blessing.get_string_custom_property(REASON_PROPERTY)
            raise StageError(f"the model is refused, and nothing is pushed: {reason}")
        else:
            _keep_out_of_cache(blessing)

    def _try_process(
        self,
        input_dict: dict[str, list[Any]],
        blessing: Any,
        config: InfraConfig,
        model_name: str,
        examples: list[bytes],
    ) -> None:
        model = artifact_utils.get_single_instance(input_dict["model"])
        model_uri = path_utils.serving_model_path(
            model.uri, path_utils.is_old_model_artifact(model)
        )
        with (
            tempfile.TemporaryDirectory(prefix="loupe-infra-") as work_folder,
            local_copy(model_uri) as model_path,
        ):
            trial = Trial(model_path, model_name, examples, Path(work_folder), config)
            try:
                report = run_trial(trial)
            except TrialFailedError as error:
                logger.warning("not blessed: %s", error)
                blessing.set_string_custom_property(REASON_PROPERTY, str(error))
                blessing.set_int_custom_property(BLESSED_PROPERTY, 0)
                return
        write_report(place_of(blessing.uri), report)
        blessing.set_int_custom_property(BLESSED_PROPERTY, 1)


def _keep_out_of_cache(blessing: Any) -> None:
    # A refusal may be the machine's fault. TFX reuses a cached result only while its folder exists.
    fileio.rmtree(blessing.uri)


def _tfx_specs(config: InfraConfig, model_name: str) -> dict[str, str]:
    serving_spec = infra_validator_pb2.ServingSpec(
        tensorflow_serving=infra_validator_pb2.TensorFlowServing(tags=[config.image_tag]),
        model_name=model_name,
    )
    if config.platform == "docker":
        serving_spec.local_docker.SetInParent()
    else:
        serving_spec.kubernetes.SetInParent()
    signatures = infra_validator_pb2.TensorFlowServingRequestSpec(
        signature_names=[Signature.SERVE_EXAMPLES]
    )
    specs = {
        "serving_spec": serving_spec,
        "validation_spec": infra_validator_pb2.ValidationSpec(
            max_loading_time_seconds=config.startup_timeout_seconds, num_tries=1
        ),
        "request_spec": infra_validator_pb2.RequestSpec(
            tensorflow_serving=signatures,
            split_name=Split.TEST,
            num_examples=config.num_examples,
        ),
    }
    return {name: json_format.MessageToJson(spec) for name, spec in specs.items()}
