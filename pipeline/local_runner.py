"""Runs the pipeline on this machine: `python -m pipeline.local_runner`, or through the tfx CLI.

tfx pipeline create --engine=local --pipeline_path=pipeline/local_runner.py
tfx run create --engine=local --pipeline_name=loupe
"""

import sys
from pathlib import Path

# The tfx CLI runs this file with its own folder first on the path, where pipeline.py would hide the
# package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from pipeline.execution import Runner, run_from_environment  # noqa: E402


def make_runner() -> Runner:
    """Import and make the runner, which takes ten seconds and more.

    Returns:
        TFX's LocalDagRunner.
    """
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner

    return LocalDagRunner()


if __name__ == "__main__":
    sys.exit(run_from_environment(make_runner))
