"""Runs the pipeline as one Beam job: `python -m pipeline.beam_runner`, or through the tfx CLI.

tfx pipeline create --engine=beam --pipeline_path=pipeline/beam_runner.py
tfx run create --engine=beam --pipeline_name=loupe
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
        TFX's BeamDagRunner.
    """
    from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner

    return BeamDagRunner()


if __name__ == "__main__":
    sys.exit(run_from_environment(make_runner))
