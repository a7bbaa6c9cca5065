import pytest

from configs.errors import ConfigError
from configs.kubeflow_access import KubeflowAccess
from configs.load import kubeflow_access_from_environment

CONFIGURED = ("http://from-config", "ns-config")


def read(environ, **given):
    return kubeflow_access_from_environment(*CONFIGURED, environ=environ, **given)


def test_the_command_line_wins_over_the_environment_and_that_over_the_config():
    assert read({}).endpoint == "http://from-config"
    environ = {"LOUPE_KUBEFLOW_ENDPOINT": "http://env", "LOUPE_KUBEFLOW_NAMESPACE": "ns-env"}
    assert (read(environ).endpoint, read(environ).namespace) == ("http://env", "ns-env")
    given = read(environ, given_endpoint="http://given", given_namespace="ns-given")
    assert (given.endpoint, given.namespace) == ("http://given", "ns-given")


def test_blanks_around_a_token_are_not_part_of_it():
    assert read({"LOUPE_KUBEFLOW_TOKEN": " abc\n"}).read_token() == "abc"
    assert not read({}).read_token()


def test_a_token_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(ConfigError, match="LOUPE_KUBEFLOW_TOKEN_FILE is '.*', which is no file"):
        read({"LOUPE_KUBEFLOW_TOKEN_FILE": str(tmp_path / "no")})


def test_a_page_that_is_no_url_is_told():
    with pytest.raises(ConfigError, match="LOUPE_KUBEFLOW_UI is 'kubeflow', expected http://"):
        read({"LOUPE_KUBEFLOW_UI": "kubeflow"})


def test_links_have_one_slash_and_lead_to_the_page():
    access = KubeflowAccess("http://api/", ui="https://page/pipeline/")
    assert access.run_link("1") == "https://page/pipeline/#/runs/details/1"
    assert KubeflowAccess("http://api/").schedule_link("2") == "http://api/#/recurringrun/details/2"
    assert access.version_link("3", "4").endswith("/pipeline/#/pipelines/details/3/version/4")
