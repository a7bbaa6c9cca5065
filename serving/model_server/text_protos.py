"""Text-format protos of the command line that tensorflow-serving-api does not ship."""

import re
from pathlib import Path
from typing import Any, Final

from google.protobuf import text_format

from configs.errors import ConfigError
from serving.protos import (
    BOOL,
    BOOL_VALUE,
    INT64,
    INT64_VALUE,
    STRING,
    STRING_VALUE,
    Field,
    make_message_classes,
)

_PACKAGE: Final = "tensorflow.serving"
_MESSAGE_CLASSES: Final = make_message_classes(
    _PACKAGE,
    {
        "BatchingParameters": (
            Field("max_batch_size", INT64_VALUE),
            Field("batch_timeout_micros", INT64_VALUE),
            Field("max_enqueued_batches", INT64_VALUE),
            Field("num_batch_threads", INT64_VALUE),
            Field("thread_pool_name", STRING_VALUE),
            Field("allowed_batch_sizes", INT64, is_repeated=True),
            Field("pad_variable_length_inputs", BOOL),
            Field("enable_large_batch_splitting", BOOL_VALUE),
            Field("max_execution_batch_size", INT64_VALUE),
        ),
        "PrometheusConfig": (Field("enable", BOOL), Field("path", STRING)),
        "MonitoringConfig": (Field("prometheus_config", "PrometheusConfig"),),
        "SSLConfig": (
            Field("server_key", STRING),
            Field("server_cert", STRING),
            Field("custom_ca", STRING),
            Field("client_verify", BOOL),
        ),
    },
)
"""Only names and types matter: these messages are read as text.

Source: tensorflow_serving/config/monitoring_config.proto and ssl_config.proto,
tensorflow_serving/servables/tensorflow/session_bundle_config.proto.
"""
_SECRET: Final = ("SSLConfig",)
_STRING_OR_COMMENT: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"' r"|'(?:[^'\\]|\\.)*'" r"|#[^\n]*", re.DOTALL
)


def read_text_proto(path: str, message_name: str, source: str) -> Any:
    """Read a text-format message from a file.

    Strings may run over several lines, as they may in C++: that is how PEM texts are pasted.

    Args:
        path: the file.
        message_name: `BatchingParameters`, `MonitoringConfig` or `SSLConfig`.
        source: what names the file, for messages, such as `--ssl_config_file`.

    Returns:
        The message.

    Raises:
        ConfigError: no such file, or text that does not parse.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{source} {path!r} cannot be read: {error}. Give a text file."
        ) from error
    try:
        return text_format.Parse(_join_lines(text), _MESSAGE_CLASSES[message_name]())
    except text_format.ParseError as error:
        raise ConfigError(
            f"Error parsing text-format {_PACKAGE}.{message_name}: "
            f"{_describe(error, message_name)} ({source} {path!r}). Correct that line."
        ) from (None if message_name in _SECRET else error)


def _join_lines(text: str) -> str:
    def escape(match: re.Match[str]) -> str:
        is_comment = match[0].startswith("#")
        return match[0] if is_comment else match[0].replace("\r\n", "\n").replace("\n", r"\n")

    return _STRING_OR_COMMENT.sub(escape, text)


def _describe(error: text_format.ParseError, message_name: str) -> str:
    if message_name not in _SECRET:
        return str(error)
    # The error's own text repeats the line, which may be one of a private key.
    return f"line {error.GetLine()}, column {error.GetColumn()}"
