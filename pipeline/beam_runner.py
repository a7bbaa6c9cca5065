"""Runs the pipeline as one Beam job: `python -m pipeline.beam_runner`, or through the tfx CLI.

tfx pipeline create --engine=beam --pipeline_path=pipeline/beam_runner.py
tfx run create --engine=beam --pipeline_name=loupe
"""

import sys
from pathlib import Path

# The tfx CLI runs this file with its own folder first on the path, where pipeline.py would hide the
# package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner  # noqa: E402

from pipeline.execution import run_from_environment  # noqa: E402

if __name__ == "__main__":
    sys.exit(run_from_environment(BeamDagRunner()))
