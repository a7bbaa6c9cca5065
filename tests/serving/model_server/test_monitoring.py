"""What --monitoring_config_file may say."""

import pytest

from configs.errors import ConfigError
from serving.model_server.flags import ServerFlags
from serving.model_server.monitoring import DEFAULT_METRICS_PATH, read_metrics_path


def read(tmp_path, text, rest_api_port=8501):
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    flags = ServerFlags(
        model_base_path="/m", rest_api_port=rest_api_port, monitoring_config_file=str(file)
    )
    return read_metrics_path(flags)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", DEFAULT_METRICS_PATH),
        ('prometheus_config { enable: true, path: "/metrics" }', "/metrics"),
        ('prometheus_config { enable: false path: "/metrics" }', ""),
        ("# nothing", ""),
    ],
)
def test_path(tmp_path, text, path):
    assert read(tmp_path, text) == path


def test_off_without_the_flag():
    assert not read_metrics_path(ServerFlags(model_base_path="/m"))


@pytest.mark.parametrize("path", ["metrics", "/v1/metrics", "/readyz"])
def test_paths_that_belong_to_others_are_refused(tmp_path, path):
    with pytest.raises(ConfigError, match=f"has the path '{path}', expected one that begins with"):
        read(tmp_path, f'prometheus_config {{ enable: true path: "{path}" }}')


def test_metrics_need_the_rest_port(tmp_path):
    with pytest.raises(ConfigError, match="enables Prometheus and --rest_api_port is 0"):
        read(tmp_path, "prometheus_config { enable: true }", rest_api_port=0)
    assert not read(tmp_path, "prometheus_config { enable: false }", rest_api_port=0)
