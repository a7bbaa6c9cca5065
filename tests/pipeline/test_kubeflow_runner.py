"""The file that both `python -m` and the tfx command run; each start takes ten seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from configs.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def run(tmp_path, *command, **environ):
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "LOUPE_WORKSPACE": str(tmp_path / "workspace"),
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_environment_says_what_is_compiled(tmp_path):
    done = run(
        tmp_path,
        *("-m", "pipeline.kubeflow_runner"),
        LOUPE_CONFIG="kubeflow-smoke",
        LOUPE_SET="pipeline_name=other train.epochs=3",
    )
    assert done.returncode == 0, done.stderr
    path = tmp_path / "workspace" / "kubeflow" / "other.yaml"
    assert done.stdout == f"{path}\n"
    spec, _ = yaml.safe_load_all(path.read_text())
    assert spec["pipelineInfo"]["name"] == "other"
    assert spec["root"]["inputDefinitions"]["parameters"]["train_epochs"]["defaultValue"] == 3


def test_what_cannot_be_compiled_is_one_sentence(tmp_path):
    done = run(tmp_path, "-m", "pipeline.kubeflow_runner", LOUPE_SET="kubeflow.image=a:latest")
    assert done.returncode == ConfigError.exit_code
    assert done.stderr.startswith("ConfigError: kubeflow.image is 'a:latest', expected")
    assert not (tmp_path / "workspace").exists()


@pytest.mark.skipif(
    not Path(sys.executable).with_name("pip").exists(),
    reason="pip is not in the environment, and the tfx command asks it for kfp: run `make setup`",
)
def test_the_tfx_command_compiles_it_too(tmp_path):
    path = tmp_path / "workspace" / "kubeflow" / "loupe.yaml"
    command = ("-m", "tfx.tools.cli.cli_main", "pipeline", "compile", "--engine=vertex")
    done = run(tmp_path, *command, "--pipeline_path=pipeline/kubeflow_runner.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Pipeline loupe compiled successfully" in done.stdout
    by_tfx = path.read_bytes()
    path.unlink()
    assert run(tmp_path, "-m", "pipeline.kubeflow_runner").returncode == 0
    assert path.read_bytes() == by_tfx
