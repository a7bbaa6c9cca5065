"""A Kubeflow Pipelines server on loopback, and the command line run against it."""

from types import SimpleNamespace

import pytest
import yaml

from pipeline.cli.main import main
from tests.kubeflow.fake_api import FakeApi
from tests.kubeflow.fake_server import serve

STAGES = ("ExampleGen", "Trainer", "Pusher")
PARAMETERS = {
    "data_version": {"parameterType": "STRING"},
    "data_root": {"parameterType": "STRING", "defaultValue": "/data"},
    "train_epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 20},
    "dropout": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.3},
    "balance": {"parameterType": "BOOLEAN", "defaultValue": True},
    "classes": {"parameterType": "LIST", "defaultValue": []},
    "labels": {"parameterType": "STRUCT", "defaultValue": {}},
}
SPEC = {
    "pipelineInfo": {"name": "loupe"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "tfx-1.21.0",
    "root": {
        "inputDefinitions": {"parameters": PARAMETERS},
        "dag": {
            "tasks": {
                stage: {"taskInfo": {"name": stage}, "componentRef": {"name": stage}}
                for stage in STAGES
            }
        },
    },
    "components": {stage: {"executorLabel": f"{stage}_executor"} for stage in STAGES},
    "deploymentSpec": {
        "executors": {
            f"{stage}_executor": {
                "container": {
                    "image": "registry.example/loupe-pipeline:1.0",
                    "command": ["python", "-m", "pipeline.kubeflow.entrypoint"],
                }
            }
            for stage in STAGES
        }
    },
}
PLATFORM = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {}}}}}


@pytest.fixture
def kubeflow(monkeypatch, tmp_path):
    """The server's state; the commands are told its address by the environment."""
    state = FakeApi()
    server = serve(state)
    for name in ("TOKEN", "TOKEN_FILE", "CA_FILE", "NAMESPACE"):
        monkeypatch.delenv(f"LOUPE_KUBEFLOW_{name}", raising=False)
    monkeypatch.setenv("LOUPE_KUBEFLOW_ENDPOINT", state.url)
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def compiled_file(tmp_path):
    """A compiled pipeline with a parameter of each type."""
    path = tmp_path / "loupe.yaml"
    path.write_text(yaml.safe_dump_all([SPEC, PLATFORM]))
    return path


@pytest.fixture
def loupe(monkeypatch, capsys):
    """Function of words to what `loupe` printed and its exit code."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["loupe", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        printed = capsys.readouterr()
        text = " ".join((printed.out + printed.err).split())
        return SimpleNamespace(code=code, text=text, lines=printed.out.splitlines())

    return run


@pytest.fixture
def uploaded(kubeflow, compiled_file, loupe):
    """The server's state after a version `git-1` was uploaded."""
    assert loupe("kubeflow", "upload", "--file", compiled_file, "--version", "git-1").code == 0
    kubeflow.requests.clear()
    return kubeflow
