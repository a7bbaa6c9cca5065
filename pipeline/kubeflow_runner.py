"""Compiles the pipeline for Kubeflow: `python -m pipeline.kubeflow_runner`, or the tfx CLI.

tfx pipeline compile --engine=vertex --pipeline_path=pipeline/kubeflow_runner.py
"""

import os
import sys
from pathlib import Path

# The tfx CLI runs this file with its own folder first on the path, where pipeline.py would hide the
# package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from configs.errors import PipelineError  # noqa: E402
from configs.load import load_config_from_environment, workspace_from_environment  # noqa: E402

KUBEFLOW_CONFIG = "kubeflow"


def compile_from_environment() -> Path:
    """Compile the pipeline that the environment describes.

    Returns:
        The YAML file, inside the workspace.
    """
    config = load_config_from_environment(default=KUBEFLOW_CONFIG)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow tells of its processor
    from pipeline.kubeflow.compile import compile_pipeline, write_compiled

    path = workspace_from_environment().compiled_pipeline(config.pipeline_name)
    write_compiled(compile_pipeline(config), path)
    return path


def main() -> int:
    """Compile, and say where to or why not.

    Returns:
        Exit code: 0, or that of the error.
    """
    try:
        sys.stdout.write(f"{compile_from_environment()}\n")
    except PipelineError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
