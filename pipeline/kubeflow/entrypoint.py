"""What every container of the pipeline runs: `python -m pipeline.kubeflow.entrypoint`.

The compiled file gives it the executor and its inputs as flags. The last line of the log says what
happened, and the exit code is that of `loupe run`.
"""

import argparse
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from configs.load import kubeflow_local_root_from_environment
from pipeline.causes import explain
from pipeline.kubeflow.lazy_packages import postpone_packages

EXIT_STOPPED = 128 + signal.SIGTERM
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one task and end the process.

    Args:
        argv: flags, as TFX's compiler writes them; None means those of the process.
    """
    signal.signal(signal.SIGTERM, _stop)
    _log_to_stderr()
    try:
        run(argv)
        exit_code = 0
    except SystemExit as exit_:
        exit_code = exit_.code if isinstance(exit_.code, int) else 1
        if isinstance(exit_.code, str):
            _say(exit_.code)
        if exit_code == EXIT_STOPPED:
            _say("the task was stopped (SIGTERM): the run was ended, or its node is going away.")
    except BaseException as error:  # noqa: BLE001 (whatever happened becomes the last line)
        traceback.print_exc()
        cause = explain(error)
        exit_code = cause.exit_code
        _say(f"{type(cause).__name__}: {' '.join(str(cause).split())}")
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is left to do; TensorFlow's and Beam's threads would take seconds to end.
    os._exit(exit_code)


def run(argv: Sequence[str] | None = None) -> None:
    """Run one task.

    Args:
        argv: flags, as TFX's compiler writes them; None means those of the process.
    """
    arguments, beam_args = _make_parser().parse_known_args(argv)
    gc.disable()  # imports make a million objects that stay
    os.environ["_KFP_RUNTIME"] = "true"  # tells kfp not to import its compiler and client
    from pipeline.kubeflow.contract import parse_messages

    executor_input, inputs_spec = parse_messages(
        arguments.json_serialized_invocation_args, arguments.json_serialized_inputs_spec_args
    )
    postpone_packages()
    from pipeline.kubeflow.task import TaskArguments, run_task

    run_task(
        TaskArguments(arguments.executor_class_path, executor_input, inputs_spec, beam_args),
        kubeflow_local_root_from_environment(),
    )


def _make_parser() -> argparse.ArgumentParser:
    # Without abbreviations, which could take a flag of Beam for one of these.
    parser = argparse.ArgumentParser(prog="pipeline.kubeflow.entrypoint", allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True, help="dotted name")
    parser.add_argument("--json_serialized_invocation_args", required=True, help="ExecutorInput")
    parser.add_argument(
        "--json_serialized_inputs_spec_args",
        default="{}",
        help="ComponentInputsSpec; a pipeline compiled with spec 2.1 gives it",
    )
    return parser


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, format=LOG_FORMAT, level=logging.WARNING)
    for name in ("absl", "loupe"):
        logging.getLogger(name).setLevel(logging.INFO)


def _stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what Python calls)
    # Unwinds the stage, so that it ends its processes and removes its files.
    raise SystemExit(EXIT_STOPPED)


def _say(sentence: str) -> None:
    sys.stdout.flush()
    print(sentence, file=sys.stderr)


if __name__ == "__main__":
    main()
