"""ExampleGen, StatisticsGen and Transform alone, by whatever Beam runner the settings name.

python -m benchmarks.beam_stages --data FOLDER --workspace FOLDER [--set beam.runner=...]

It prints one line of JSON: seconds of each stage, and of all of them.
"""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from absl import logging as absl_logging
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline

from components.beam_args import beam_args, reading_args
from components.example_gen.component import build_example_gen
from components.schema_gen import build_schema_gen
from components.statistics_gen import build_statistics_gen
from components.transform.component import build_transform
from configs.load import load_config
from configs.types import PipelineConfig
from configs.workspace import Workspace
from data.sources import fingerprint, list_images
from pipeline.events import FINISHED, STARTED, EventRecorder, read_events

STAGES = ("ExampleGen", "StatisticsGen", "Transform")
EVENTS_FILENAME = "events.jsonl"


def run_beam_stages(config: PipelineConfig, workspace: Workspace) -> dict[str, float]:
    """Run the stages that read, describe and transform images, and no others.

    Args:
        config: all settings; `data.path` is a folder.
        workspace: where artifacts and metadata go.

    Returns:
        Seconds of each stage of STAGES.
    """
    workspace.root.mkdir(parents=True, exist_ok=True)
    events = workspace.root / EVENTS_FILENAME
    recorder = EventRecorder(events)
    absl_logging.set_verbosity(absl_logging.INFO)  # TFX's own; Transform resets other ways
    absl_logger = logging.getLogger("absl")
    absl_logger.addHandler(recorder)
    try:
        LocalDagRunner().run(_pipeline(config, workspace))
    finally:
        absl_logger.removeHandler(recorder)
        recorder.close()
    times = {(event.kind, event.stage): event.seconds for event, _ in read_events(events)}
    return {name: round(times[FINISHED, name] - times[STARTED, name], 2) for name in STAGES}


def _pipeline(config: PipelineConfig, workspace: Workspace) -> Pipeline:
    root = Path(config.data.path)
    files = list_images(root)
    example_gen = build_example_gen(
        config.data, data_root=str(root), data_version=fingerprint(files)
    )
    example_gen.with_beam_pipeline_args(reading_args(config.beam, num_images=len(files)))
    examples = example_gen.outputs["examples"]
    statistics_gen = build_statistics_gen(examples=examples)
    schema_gen = build_schema_gen(
        config.validation, curated_schema=None, statistics=statistics_gen.outputs["statistics"]
    )
    transform = build_transform(
        config.transform, examples=examples, schema=schema_gen.outputs["schema"]
    )
    return Pipeline(
        pipeline_name="beam-stages",
        pipeline_root=str(workspace.artifacts),
        components=[example_gen, statistics_gen, schema_gen, transform],
        enable_cache=False,
        metadata_connection_config=sqlite_metadata_connection_config(str(workspace.metadata_file)),
        beam_pipeline_args=beam_args(config.beam),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stages and print what they took.

    Args:
        arguments: flags; None means those of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="Folder of images.")
    parser.add_argument("--workspace", type=Path, required=True, help="Everything goes below it.")
    parser.add_argument("--config", default="bench-60k", help="A named run.")
    parser.add_argument("--set", action="append", default=[], help="A setting; repeatable.")
    options = parser.parse_args(arguments)
    overrides = [f"data.path={json.dumps(str(options.data))}", *options.set]
    started = time.monotonic()
    seconds = run_beam_stages(
        load_config(options.config, overrides), Workspace(options.workspace.resolve())
    )
    print(json.dumps({"stages": seconds, "seconds": round(time.monotonic() - started, 2)}))


if __name__ == "__main__":
    main()
