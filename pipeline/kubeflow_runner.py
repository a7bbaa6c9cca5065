"""Compiles the pipeline for Kubeflow: `python -m pipeline.kubeflow_runner`, or the tfx CLI.

tfx pipeline compile --engine=vertex --pipeline_path=pipeline/kubeflow_runner.py
"""

import sys
from pathlib import Path

# The tfx CLI runs this file with its own folder first on the path, where pipeline.py would hide the
# package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from configs.errors import PipelineError  # noqa: E402
from configs.load import load_config_from_environment, workspace_from_environment  # noqa: E402
from pipeline.kubeflow.compile import compile_pipeline, write_compiled  # noqa: E402

KUBEFLOW_CONFIG = "kubeflow"


def main() -> None:
    """Compile the pipeline that the environment describes into the workspace."""
    config = load_config_from_environment(default=KUBEFLOW_CONFIG)
    path = workspace_from_environment().compiled_pipeline(config.pipeline_name)
    write_compiled(compile_pipeline(config), path)
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    try:
        main()
    except PipelineError as error:
        sys.exit(f"{type(error).__name__}: {error}")
