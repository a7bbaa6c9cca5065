"""Which models to serve: flags or a text ModelServerConfig become plain, checked values."""

import dataclasses
import urllib.parse
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from configs.errors import ConfigError
from serving.model_server.errors import InvalidArgumentError
from serving.model_server.flags import ServerFlags
from serving.model_server.versions import VersionPolicy, VersionPolicyKind

TENSORFLOW_PLATFORM = "tensorflow"


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """One model.

    Attributes:
        name: what requests call it.
        base_path: absolute folder whose numeric children are its versions.
        policy: which of them to serve.
        labels: label to version.
    """

    name: str
    base_path: Path
    policy: VersionPolicy = dataclasses.field(default_factory=VersionPolicy)
    labels: dict[str, int] = dataclasses.field(default_factory=dict)


ModelConfigs = dict[str, ModelConfig]


def models_from_flags(flags: ServerFlags) -> ModelConfigs:
    """Find out which models the command line asks for.

    Args:
        flags: the command line.

    Returns:
        The models by name, in the order they were listed.

    Raises:
        InvalidArgumentError: the config names a model twice, or with a bad path.
        ConfigError: the config file cannot be read or parsed.
    """
    if flags.model_config_file:
        return models_from_proto(read_config_file(flags.model_config_file))
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=flags.model_name,
        base_path=flags.model_base_path,
        model_platform=TENSORFLOW_PLATFORM,
    )
    return models_from_proto(config)


def read_config_file(path: str) -> Any:
    """Read a text-format ModelServerConfig.

    Args:
        path: the file.

    Returns:
        The ModelServerConfig message.

    Raises:
        ConfigError: no such file, or text that does not parse.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--model_config_file {path!r} cannot be read: {error}.") from error
    try:
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        raise ConfigError(
            f"Error parsing text-format tensorflow.serving.ModelServerConfig: {error} "
            f"(file {path!r}). Correct that line."
        ) from error


def models_from_proto(config: Any) -> ModelConfigs:
    """Check a ModelServerConfig and turn it into plain values.

    Args:
        config: the ModelServerConfig message.

    Returns:
        The models by name.

    Raises:
        InvalidArgumentError: not a model_config_list, a name listed twice, a path
            that is not absolute, an unknown platform.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise InvalidArgumentError(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
    models: ModelConfigs = {}
    for entry in config.model_config_list.config:
        if entry.name in models:
            raise InvalidArgumentError(
                f"Illegal to list model {entry.name} multiple times in config list"
            )
        models[entry.name] = _model_from_proto(entry)
    return models


def _model_from_proto(entry: Any) -> ModelConfig:
    _check_platform(entry)
    if urllib.parse.urlsplit(entry.base_path).scheme:
        raise InvalidArgumentError(
            f"model {entry.name} has base_path {entry.base_path!r}; this server reads local "
            "folders only. Mount the bucket, or copy the model."
        )
    if not Path(entry.base_path).is_absolute():
        raise InvalidArgumentError(
            f"Expected model {entry.name} to have an absolute path or URI; "
            f"got base_path()={entry.base_path}"
        )
    if entry.HasField("logging_config"):
        raise InvalidArgumentError(
            f"model {entry.name} has a logging_config; this server writes no request logs. "
            "Remove it."
        )
    return ModelConfig(
        name=entry.name,
        base_path=Path(entry.base_path),
        policy=_policy_from_proto(entry.model_version_policy),
        labels=dict(entry.version_labels),
    )


def _check_platform(entry: Any) -> None:
    has_type = entry.model_type == model_server_config_pb2.TENSORFLOW
    if has_type and entry.model_platform:
        raise InvalidArgumentError(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {entry.name}"
        )
    platform = TENSORFLOW_PLATFORM if has_type else entry.model_platform
    if not platform:
        raise InvalidArgumentError(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {entry.name}"
        )
    if platform != TENSORFLOW_PLATFORM:
        raise InvalidArgumentError(f"Model {entry.name} requests unsupported platform {platform}")


def _policy_from_proto(policy: Any) -> VersionPolicy:
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return VersionPolicy(kind=VersionPolicyKind.ALL)
    if kind == "specific":
        versions = frozenset(policy.specific.versions)
        return VersionPolicy(kind=VersionPolicyKind.SPECIFIC, versions=versions)
    # 0 is what a message without the field says.
    return VersionPolicy(num_versions=policy.latest.num_versions or 1)
