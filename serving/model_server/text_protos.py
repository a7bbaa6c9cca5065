"""Text-format protos of the command line that tensorflow-serving-api does not ship."""

import re
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from configs.errors import ConfigError

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "tensorflow.serving"
# Message -> its fields, numbered from 1; a text is the name of another message of this table.
_MESSAGES: Final[dict[str, tuple[tuple[str, Any], ...]]] = {
    "PrometheusConfig": (("enable", _Field.TYPE_BOOL), ("path", _Field.TYPE_STRING)),
    "MonitoringConfig": (("prometheus_config", "PrometheusConfig"),),
    "SSLConfig": (
        ("server_key", _Field.TYPE_STRING),
        ("server_cert", _Field.TYPE_STRING),
        ("custom_ca", _Field.TYPE_STRING),
        ("client_verify", _Field.TYPE_BOOL),
    ),
}
"""Source: tensorflow_serving/config/monitoring_config.proto and ssl_config.proto."""
_SECRET: Final = ("SSLConfig",)
_STRING_OR_COMMENT: Final = re.compile(
    r'"(?:[^"\\]|\\.)*"' r"|'(?:[^'\\]|\\.)*'" r"|#[^\n]*", re.DOTALL
)


def read_text_proto(path: str, message_name: str, flag: str) -> Any:
    """Read a text-format message from a file.

    Strings may run over several lines, as they may in C++: that is how PEM texts are pasted.

    Args:
        path: the file.
        message_name: `MonitoringConfig` or `SSLConfig`.
        flag: the flag that names the file, for messages.

    Returns:
        The message.

    Raises:
        ConfigError: no such file, or text that does not parse.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--{flag} {path!r} cannot be read: {error}.") from error
    try:
        return text_format.Parse(_join_lines(text), _message_class(message_name)())
    except text_format.ParseError as error:
        raise ConfigError(
            f"Error parsing text-format {_PACKAGE}.{message_name}: "
            f"{_describe(error, message_name)} (--{flag} {path!r}). Correct that line."
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


def _message_class(name: str) -> Any:
    # A pool of its own: a later tensorflow-serving-api may bring the same names along.
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(
        name="loupe/text_protos.proto", package=_PACKAGE, syntax="proto3"
    )
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for number, (field_name, kind) in enumerate(fields, start=1):
            field = message.field.add(name=field_name, number=number, label=_Field.LABEL_OPTIONAL)
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
