"""One trial serving: start, ask, compare, measure, stop."""

import shlex
import shutil
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tfx.components.infra_validator import error_types

from components.infra_validator.process_runner import ProcessRunner, default_server_command
from components.infra_validator.report import InfraReport
from components.infra_validator.requests import request_inputs, write_warmup_requests
from configs.errors import PipelineError
from configs.types import InfraConfig
from schema.features import (
    ASSETS_EXTRA_FOLDER,
    OUTPUT_LABEL,
    OUTPUT_PROBABILITIES,
    WARMUP_FILENAME,
)
from serving.model_server.client import ModelServerClient

TRIAL_VERSION = 1


class TrialFailedError(PipelineError):
    """A candidate that could not be served, or that answered differently when served."""


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        model_path: folder of the SavedModel.
        model_name: name under which it is served.
        examples: serialized raw examples to ask about.
        work_folder: empty folder for the copy that is served and the server's log.
        config: how long to wait and how exact answers must be.
    """

    model_path: Path
    model_name: str
    examples: list[bytes]
    work_folder: Path
    config: InfraConfig


def run_trial(trial: Trial) -> InfraReport:
    """Serve a model and ask it.

    Args:
        trial: what is tried.

    Returns:
        What was measured.

    Raises:
        TrialFailedError: the server did not start, did not answer, or answered something else.
    """
    base_path = trial.work_folder / trial.model_name
    version_path = base_path / str(TRIAL_VERSION)
    shutil.copytree(trial.model_path, version_path)
    (version_path / ASSETS_EXTRA_FOLDER).mkdir(exist_ok=True)
    write_warmup_requests(
        version_path / ASSETS_EXTRA_FOLDER / WARMUP_FILENAME, trial.examples, trial.model_name
    )
    command = shlex.split(trial.config.server_command) or default_server_command()
    log_file = trial.work_folder / "server.log"
    runner = ProcessRunner(command, trial.model_name, base_path, log_file)
    started = time.monotonic()
    try:
        runner.Start()
        model: Any = tf.saved_model.load(str(trial.model_path))  # while the server starts
        runner.WaitUntilRunning(time.time() + trial.config.startup_timeout_seconds)
        load_seconds = time.monotonic() - started
        return _ask(trial, model, runner, shlex.join(command), load_seconds)
    except TrialFailedError:
        raise
    except (error_types.InfraValidationError, PipelineError, OSError) as error:
        tail = " | ".join(runner.GetLogs().strip().splitlines()[-3:]) if log_file.exists() else ""
        raise TrialFailedError(
            f"the model cannot be served by '{shlex.join(command)}': {error}. "
            f"The server's last lines: {tail or 'none'}"
        ) from error
    finally:
        runner.Stop()


def _ask(
    trial: Trial, model: Any, runner: ProcessRunner, server: str, load_seconds: float
) -> InfraReport:
    seconds: dict[str, list[float]] = {"grpc": [], "rest": []}
    largest = 0.0
    with ModelServerClient(
        grpc_address=runner.GetEndpoint(), rest_address=f"127.0.0.1:{runner.rest_port}"
    ) as client:
        client.wait_until_available(trial.model_name, trial.config.startup_timeout_seconds)
        protocols = {"grpc": client.predict_grpc, "rest": client.predict_rest}
        for signature, inputs in request_inputs(trial.examples):
            tensors = {name: tf.constant(value) for name, value in inputs.items()}
            expected = {
                name: value.numpy()
                for name, value in model.signatures[signature](**tensors).items()
            }
            for protocol, predict in protocols.items():
                started = time.monotonic()
                answer = predict(trial.model_name, inputs, signature_name=signature)
                seconds[protocol].append(time.monotonic() - started)
                where = f"{signature} over {protocol}"
                difference = _difference(answer, expected, where)
                if difference > trial.config.probability_tolerance:
                    raise TrialFailedError(
                        f"{where} answers probabilities that differ by {difference:.2e} from the "
                        f"SavedModel's, allowed is {trial.config.probability_tolerance:.2e} "
                        "(infra.probability_tolerance)"
                    )
                largest = max(largest, difference)
    return InfraReport(
        server=server,
        load_seconds=round(load_seconds, 3),
        memory_bytes=runner.memory_bytes(),
        grpc_latency_seconds=statistics.median(seconds["grpc"]),
        rest_latency_seconds=statistics.median(seconds["rest"]),
        num_requests=sum(len(values) for values in seconds.values()),
        largest_difference=largest,
    )


def _difference(
    answer: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]], where: str
) -> float:
    if answer.keys() != expected.keys():
        raise TrialFailedError(
            f"{where} answers {sorted(answer)}, the SavedModel {sorted(expected)}"
        )
    served, own = (
        np.asarray(each[OUTPUT_PROBABILITIES], np.float64) for each in (answer, expected)
    )
    if served.shape != own.shape:
        raise TrialFailedError(f"{where} answers shape {served.shape}, expected {own.shape}")
    difference = float(np.max(np.abs(served - own)))
    labels = [str(_text(each[OUTPUT_LABEL])) for each in (answer, expected)]
    margin = np.diff(np.sort(own.reshape(-1))[-2:])
    if labels[0] != labels[1] and np.all(margin > 2 * difference):
        raise TrialFailedError(f"{where} answers label {labels[0]}, the SavedModel {labels[1]}")
    return difference


def _text(value: NDArray[Any]) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in value.reshape(-1).tolist()]
