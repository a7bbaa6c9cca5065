"""Text protos that no package ships."""

import pytest

from configs.errors import ConfigError
from serving.model_server.text_protos import read_text_proto


def read(tmp_path, text, message="SSLConfig"):
    file = tmp_path / "file.config"
    file.write_text(text)
    return read_text_proto(str(file), message, "--a_flag")


def test_fields_and_nested_messages(tmp_path):
    config = read(tmp_path, 'prometheus_config { enable: true path: "/p" }', "MonitoringConfig")
    assert (config.prometheus_config.enable, config.prometheus_config.path) == (True, "/p")


@pytest.mark.parametrize(
    "text",
    [
        'server_key: "a\nb # c\n"',
        'server_key: "a\\nb # c\\n"',
        "server_key: 'a\n' # it's \"open\n 'b # c\\n'",
        'server_key: "a\r\nb # c\r\n"',
    ],
)
def test_strings_may_run_over_lines(tmp_path, text):
    (tmp_path / "file.config").write_bytes(text.encode())
    config = read_text_proto(str(tmp_path / "file.config"), "SSLConfig", "--a_flag")
    assert config.server_key == "a\nb # c\n"


def test_quotes_in_strings_and_comments(tmp_path):
    config = read(tmp_path, '# don\'t\nserver_key: "\\"#\\"" client_verify: true')
    assert (config.server_key, config.client_verify) == ('"#"', True)


def test_what_does_not_parse_is_told_without_repeating_a_key(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, 'server_key: "SECRET\nSECRET\nclient_verify: true')
    message = str(caught.value)
    assert message.startswith("Error parsing text-format tensorflow.serving.SSLConfig: line 1, ")
    assert "SECRET" not in message
    with pytest.raises(ConfigError, match="no field named"):
        read(tmp_path, "other: 1", "MonitoringConfig")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="--a_flag '/no/file' cannot be read: "):
        read_text_proto("/no/file", "SSLConfig", "--a_flag")
