"""A run from settings to summary; runners only say where the DAG runs."""

import dataclasses
import functools
import gc
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import psutil

from configs.load import (
    load_config_from_environment,
    run_folder_from_environment,
    workspace_from_environment,
)
from configs.types import PipelineConfig
from configs.workspace import Workspace
from pipeline.causes import explain
from pipeline.dataset import find_dataset
from pipeline.events import DONE, EventRecorder
from pipeline.places import check_places
from pipeline.run_folder import (
    EVENTS_FILENAME,
    LOG_FILENAME,
    lock_workspace,
    make_run_folder,
    point_latest,
)
from pipeline.summary import (
    EXIT_NOT_BLESSED,
    EXIT_PUSHED,
    FAILED,
    NOT_BLESSED,
    PUSHED,
    RunSummary,
    time_stages,
    write_summary,
)


class Runner(Protocol):
    """What TFX's runners have in common."""

    def run(self, pipeline: Any, /) -> Any:
        """Run a pipeline.

        Args:
            pipeline: what `create_pipeline` made.
        """
        ...


def run_from_environment(make_runner: Callable[[], Runner]) -> int:
    """Run the pipeline that the environment describes.

    Args:
        make_runner: says where it runs; called once settings and data had their say, because
            importing TFX takes long.

    Returns:
        Exit code: 0 pushed (or only compiled, under the `tfx` CLI), 3 not blessed, else an error.
    """
    workspace = workspace_from_environment()
    folder = run_folder_from_environment() or make_run_folder(workspace)
    recorder = EventRecorder(folder / EVENTS_FILENAME)
    _listen(recorder)
    return _run_recorded(make_runner, workspace, folder, recorder)


def _listen(recorder: EventRecorder) -> None:
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.INFO)
    for name in ("absl", "loupe"):
        logger = logging.getLogger(name)
        logger.addHandler(recorder)
        logger.setLevel(logging.INFO)


def _run_recorded(
    make_runner: Callable[[], Runner],
    workspace: Workspace,
    folder: Path,
    recorder: EventRecorder,
) -> int:
    started = psutil.Process().create_time()
    error: BaseException | None = None
    try:
        config = load_config_from_environment()
        with lock_workspace(workspace):
            recorder.on_first_stage = functools.partial(point_latest, workspace, folder)
            try:
                _run_dag(make_runner, config, workspace)
            except Exception:
                point_latest(workspace, folder)
                raise
    except Exception as caught:  # whatever a stage raised becomes the summary
        logging.getLogger("absl").exception("the run failed")
        error = caught
    if error is None and not recorder.stages_seen:
        shutil.rmtree(folder)  # the tfx CLI only compiled
        return EXIT_PUSHED
    summary = _summarize(workspace, folder, recorder, error)
    write_summary(folder, dataclasses.replace(summary, seconds=round(time.time() - started, 2)))
    recorder.write(DONE, text=summary.status)
    return summary.exit_code


def _run_dag(
    make_runner: Callable[[], Runner], config: PipelineConfig, workspace: Workspace
) -> None:
    check_places(config)
    dataset = find_dataset(config, workspace)
    logging.getLogger("loupe.data").info("%d files; loading TFX", dataset.num_files)
    # Imports leave a million objects for good; looking through them again and again takes seconds.
    gc.disable()
    from pipeline.pipeline import create_pipeline
    from pipeline.surroundings import local_surroundings

    surroundings = local_surroundings(config, workspace, dataset)
    runner, pipeline = make_runner(), create_pipeline(config, surroundings)
    gc.freeze()
    gc.enable()
    runner.run(pipeline)


def _summarize(
    workspace: Workspace, folder: Path, recorder: EventRecorder, error: BaseException | None
) -> RunSummary:
    log_file = str(folder / LOG_FILENAME) if (folder / LOG_FILENAME).exists() else ""
    stages = time_stages(folder / EVENTS_FILENAME)
    facts: dict[str, Any] = {"stages": stages, "log_file": log_file}
    if recorder.stages_seen:
        from pipeline.facts import facts_of  # slow to import; the stages have imported it already
        from pipeline.outcome import read_outcome

        facts |= facts_of(read_outcome(workspace.metadata_file))
    if error is not None:
        cause = explain(error)
        return RunSummary(
            status=FAILED,
            exit_code=cause.exit_code,
            failed_stage=recorder.stage,
            error=str(cause),
            **{**facts, **cause.facts},
        )
    if facts.get("version"):
        return RunSummary(status=PUSHED, exit_code=EXIT_PUSHED, **facts)
    return RunSummary(status=NOT_BLESSED, exit_code=EXIT_NOT_BLESSED, **facts)
