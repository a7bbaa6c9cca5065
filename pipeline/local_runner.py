"""Runs the pipeline on this machine: `python -m pipeline.local_runner`, or through the tfx CLI.

tfx pipeline create --engine=local --pipeline_path=pipeline/local_runner.py
tfx run create --engine=local --pipeline_name=loupe
"""

import sys
from pathlib import Path

# The tfx CLI runs this file with its own folder first on the path, where pipeline.py would hide the
# package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tfx.orchestration.local.local_dag_runner import LocalDagRunner  # noqa: E402

from pipeline.execution import run_from_environment  # noqa: E402

if __name__ == "__main__":
    sys.exit(run_from_environment(LocalDagRunner()))
