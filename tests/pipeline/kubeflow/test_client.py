"""The client uses what it is given, and nothing of the home directory or other tools."""

import json
import subprocess
import sys

import pytest

from configs.kubeflow_access import KubeflowAccess
from pipeline.kubeflow.client import connect

SURPRISES = {
    "KF_PIPELINES_ENDPOINT": "http://127.0.0.1:1",
    "KF_PIPELINES_UI_ENDPOINT": "http://elsewhere",
    "KF_PIPELINES_IAP_OAUTH2_CLIENT_ID": "opens-a-browser",
    "KF_PIPELINES_APP_OAUTH2_CLIENT_ID": "x",
    "KF_PIPELINES_APP_OAUTH2_CLIENT_SECRET": "x",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory in which kfp's own files say other things."""
    context = tmp_path / ".config" / "kfp" / "context.json"
    context.parent.mkdir(parents=True)
    context.write_text(json.dumps({"namespace": "wrong", "client_authentication_cookie": "a=b"}))
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(context))
    for name, value in SURPRISES.items():
        monkeypatch.setenv(name, value)
    return context


@pytest.mark.parametrize("namespace", ["kubeflow", "ann"])
def test_files_and_variables_of_kfp_are_not_used(kubeflow, home, namespace):
    before = home.read_text()
    client = connect(KubeflowAccess(kubeflow.url, namespace))
    client.list_runs()
    assert kubeflow.requests[-1].query["namespace"] == namespace
    client.set_user_namespace("other")
    assert client.get_user_namespace() == "other"
    assert home.read_text() == before
    assert client._get_url_prefix() == kubeflow.url


def test_without_a_namespace_none_is_sent_and_none_is_stored(kubeflow, home):
    client = connect(KubeflowAccess(kubeflow.url))
    client.list_runs()
    assert "wrong" not in str(kubeflow.requests[-1].query)
    assert "wrong" in home.read_text()


def test_a_pipeline_of_the_namespace_is_found_and_a_shared_one_is_not(kubeflow):
    kubeflow.is_multi_user = True
    client = connect(KubeflowAccess(kubeflow.url, "kubeflow"))
    made = client.create_empty_pipeline("mine", "text")
    assert client.get_pipeline_id("mine") == made
    assert client.get_pipeline_id("shared") is None


def test_the_token_is_in_no_text_about_the_client():
    access = KubeflowAccess("http://localhost", token="secret-1")
    assert "secret-1" not in repr(access)
    assert "secret-1" not in str(access)


def test_commands_that_need_no_server_do_not_import_kfp():
    code = (
        "import sys; from pipeline.cli.main import app; "
        "bad = {'kfp', 'kfp_server_api', 'tfx', 'tensorflow'} & set(sys.modules); "
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
