"""One task of the pipeline inside its container: an executor of TFX between two launcher messages.

TFX has an entry point for this, `kubeflow_v2_run_executor`, which cannot be used as it is: it
imports the Evaluator for every stage, and it makes no output folders. What translates is TFX's.
"""

import gc
import inspect
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.components.base import base_executor
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils
from tfx.orchestration.portable import outputs_utils
from tfx.types import standard_artifacts
from tfx.utils import import_utils

from pipeline.kubeflow.contract import delocalize, localize, require_inputs, unlink_outputs

logger = logging.getLogger("loupe.kubeflow")

STARTED = "%s starts, %.1f s after its container"


@dataclass(frozen=True)
class TaskArguments:
    """What the compiled file and the launcher say of a task.

    Attributes:
        executor_class_path: dotted name of the executor.
        executor_input: the launcher's message.
        inputs_spec: the component's inputs as compiled.
        beam_args: flags of Beam.
    """

    executor_class_path: str
    executor_input: pipeline_spec_pb2.ExecutorInput
    inputs_spec: pipeline_spec_pb2.ComponentInputsSpec
    beam_args: Sequence[str] = ()


def run_task(arguments: TaskArguments, local_root: Path) -> None:
    """Run an executor and write its answer where the launcher reads it.

    Args:
        arguments: what to run, and on what.
        local_root: folder that stands for the root folder; not `/` in tests only.
    """
    executor_input, inputs_spec = arguments.executor_input, arguments.inputs_spec
    places = localize(executor_input, inputs_spec, local_root)
    require_inputs(executor_input, places)
    names: dict[int, str] = {}
    inputs = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(
        executor_input.inputs.artifacts, names
    )
    outputs = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(
        executor_input.outputs.artifacts, names
    )
    exec_properties = kubeflow_v2_entrypoint_utils.parse_execution_properties(
        executor_input.inputs.parameter_values, executor_input.inputs.parameters, inputs_spec
    )
    outputs_utils.make_output_dirs(outputs)
    output_file = Path(executor_input.outputs.output_file)
    executor = _make_executor(arguments, output_file.parent)
    gc.freeze()  # what was imported stays, and need not be looked through again and again
    gc.enable()
    seconds = time.time() - psutil.Process().create_time()
    logger.info(STARTED, arguments.executor_class_path, seconds)
    executor.Do(inputs, outputs, exec_properties)
    outputs_utils.tag_output_artifacts_with_version(outputs)
    _name_models(outputs, names)
    unlink_outputs(executor_input)
    output = _make_output(outputs, list(executor_input.outputs.parameters), names)
    delocalize(output, places)
    output_file.parent.mkdir(parents=True, exist_ok=True)
    output_file.write_text(json_format.MessageToJson(output), encoding="utf-8")


def _make_executor(arguments: TaskArguments, task_root: Path) -> base_executor.BaseExecutor:
    executor_class = import_utils.import_class_by_path(arguments.executor_class_path)
    # As TFX's own entry point chooses them; the launcher uploads nothing from this folder. Asked by
    # its context, since most executors do not need Beam, and its base class would import it.
    context_class: Any = executor_class.Context
    is_beam = "beam_pipeline_args" in inspect.signature(context_class).parameters
    flags = {"beam_pipeline_args" if is_beam else "extra_flags": list(arguments.beam_args)}
    tmp_dir = str(task_root / ".temp")
    return executor_class(context_class(**flags, unique_id=task_root.name, tmp_dir=tmp_dir))


def _make_output(
    outputs: dict[str, list[Any]], parameters: Sequence[str], names: dict[int, str]
) -> pipeline_spec_pb2.ExecutorOutput:
    output = pipeline_spec_pb2.ExecutorOutput()
    answers = kubeflow_v2_entrypoint_utils.translate_executor_output(outputs, names)
    for key, artifacts in answers.items():
        output.artifacts[key].CopyFrom(artifacts)
    for key in parameters:  # TFX has a value artifact of the same name behind each
        (artifact,) = outputs[key]
        output.parameter_values[key].CopyFrom(json_format.ParseDict(artifact.read(), Value()))
    return output


def _name_models(outputs: dict[str, list[Any]], names: dict[int, str]) -> None:
    # A blessing names its models by the numbers that TFX made of Kubeflow's names.
    for artifacts in outputs.values():
        for artifact in artifacts:
            if isinstance(artifact, standard_artifacts.ModelBlessing):
                kubeflow_v2_entrypoint_utils.refactor_model_blessing(artifact, names)
