"""The command line: every flag of tensorflow_model_server in one table, parsed in its way."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any

from configs.errors import ConfigError

_INT64_LIMIT = 2**63


def _flag(default: Any, text: str, *, refused: str = "") -> Any:
    return dataclasses.field(default=default, metadata={"text": text, "refused": refused})


_NO_TFLITE = "only SavedModels are served"
_NO_XLA_SWITCH = "TensorFlow's Python wheel decides about XLA when it is imported"
_NO_PLATFORMS = "the only platform is 'tensorflow'"


@dataclasses.dataclass(frozen=True)
class ServerFlags:
    """Flags with TF Serving's names and defaults; a `refused` one takes its default only.

    Source: tensorflow_serving/model_servers/main.cc and server.h.
    """

    port: int = _flag(8500, "TCP port of gRPC; 0 turns it off")
    grpc_socket_path: str = _flag("", "path of a UNIX socket for gRPC")
    grpc_channel_arguments: str = _flag("", "options of the gRPC server, name=value,name=value")
    grpc_max_threads: int = _flag(0, "model calls at once over gRPC; 0 is 4 x CPUs")
    rest_api_port: int = _flag(0, "TCP port of REST; 0 turns it off")
    rest_api_num_threads: int = _flag(0, "model calls at once over REST; 0 is 4 x CPUs")
    rest_api_timeout_in_ms: int = _flag(30000, "longest model call over REST, milliseconds")
    rest_api_enable_cors_support: bool = _flag(False, "add CORS headers to REST replies")
    model_name: str = _flag("default", "name of the model; unused with --model_config_file")
    model_base_path: str = _flag("", "absolute folder of the version folders")
    model_config_file: str = _flag("", "text ModelServerConfig: several models, policies, labels")
    model_config_file_poll_wait_seconds: int = _flag(0, "seconds between reads; 0 reads it once")
    file_system_poll_wait_seconds: int = _flag(
        1, "seconds between looks for versions; 0 looks once, below 0 never"
    )
    max_num_load_retries: int = _flag(5, "further attempts after a load failed")
    load_retry_interval_micros: int = _flag(60_000_000, "pause between attempts, microseconds")
    num_load_threads: int = _flag(0, "loads at once; 0 is one at a time")
    num_unload_threads: int = _flag(0, "any value: unloading never blocks this server")
    allow_version_labels_for_unavailable_models: bool = _flag(
        False, "a label not yet in use may name a version that is not loaded"
    )
    enable_model_warmup: bool = _flag(True, "replay assets.extra/tf_serving_warmup_requests")
    num_request_iterations_for_warmup: int = _flag(0, "runs of each warm-up request; 0 is 1")
    enable_batching: bool = _flag(False, "run requests together, in batches")
    batching_parameters_file: str = _flag("", "text BatchingParameters; needs --enable_batching")
    enable_per_model_batching_parameters: bool = _flag(
        False,
        "batch only versions with a batching_params.pbtxt, and as it says; the threads are those "
        "of --batching_parameters_file",
    )
    saved_model_tags: str = _flag("serve", "tags of the graph to load, a comma list")
    tensorflow_session_parallelism: int = _flag(0, "threads inside and between ops; 0 is automatic")
    tensorflow_intra_op_parallelism: int = _flag(0, "threads inside an op; 0 is automatic")
    tensorflow_inter_op_parallelism: int = _flag(0, "ops at once; 0 is automatic")
    tensorflow_session_config_file: str = _flag("", "text ConfigProto of TensorFlow sessions")
    per_process_gpu_memory_fraction: float = _flag(0.0, "share of GPU memory; 0 is automatic")
    enable_grpc_healthcheck_service: bool = _flag(False, "serve grpc.health.v1.Health")
    enable_serialization_as_tensor_content: bool = _flag(False, "answer in tensor_content")
    enable_signature_method_name_check: bool = _flag(False, "check SignatureDef.method_name")
    flush_filesystem_caches: bool = _flag(True, "either value: local files have no such cache")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(
        True, "either value: only the signatures of a loaded graph are kept"
    )
    monitoring_config_file: str = _flag(
        "", "text MonitoringConfig: Prometheus metrics on the REST port"
    )
    ssl_config_file: str = _flag("", "text SSLConfig: gRPC over TLS")
    version: bool = _flag(False, "print versions and exit")
    # Flags of this server only.
    grace_period_seconds: float = _flag(10.0, "after SIGTERM, time for requests in flight")
    rest_api_max_body_bytes: int = _flag(256 * 2**20, "largest REST body, after gunzip")
    max_image_pixels: int = _flag(
        50_000_000, "most pixels of an encoded image among the inputs, all frames; 0 is no limit"
    )
    # Flags that cannot be honoured; refusing them is honest, ignoring them is not.
    use_alts_credentials: bool = _flag(False, "ALTS", refused="ALTS exists on Google Cloud only")
    enable_profiler: bool = _flag(False, "ProfilerService", refused="there is no profiler service")
    prefer_tflite_model: bool = _flag(False, "serve model.tflite", refused=_NO_TFLITE)
    num_tflite_pools: int = _flag(0, "TFLite pools", refused=_NO_TFLITE)
    num_tflite_interpreters_per_pool: int = _flag(0, "TFLite interpreters", refused=_NO_TFLITE)
    xla_cpu_compilation_enabled: bool = _flag(False, "XLA on CPU", refused=_NO_XLA_SWITCH)
    xla_gpu_compilation_enabled: bool = _flag(False, "XLA on GPU", refused=_NO_XLA_SWITCH)
    platform_config_file: str = _flag("", "text PlatformConfigMap", refused=_NO_PLATFORMS)
    thread_pool_factory_config_file: str = _flag("", "thread pools", refused=_NO_PLATFORMS)
    mixed_precision: str = _flag("", "graph rewrite", refused="models are served as exported")
    skip_initialize_tpu: bool = _flag(False, "TPU", refused="TPUs are not supported")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.metadata["refused"] and getattr(self, field.name) != field.default:
                raise ConfigError(
                    f"--{field.name} cannot be honoured: {field.metadata['refused']}. "
                    "Remove the flag, or use tensorflow_model_server."
                )
        _check_ports(self)
        if not self.version and not (self.model_base_path or self.model_config_file):
            raise ConfigError(
                "both --model_base_path and --model_config_file are empty. Give one of them."
            )
        if self.grace_period_seconds < 0 or self.rest_api_max_body_bytes < 1:
            raise ConfigError(
                f"--grace_period_seconds is {self.grace_period_seconds}, "
                f"--rest_api_max_body_bytes is {self.rest_api_max_body_bytes}; "
                "expected at least 0 and at least 1."
            )
        if self.max_image_pixels < 0:
            raise ConfigError(
                f"--max_image_pixels is {self.max_image_pixels}, expected at least 0 (no limit)."
            )
        _check_parallelism(self)
        _check_batching(self)


def _check_ports(flags: ServerFlags) -> None:
    for name in ("port", "rest_api_port"):
        if not 0 <= getattr(flags, name) <= 65535:
            raise ConfigError(f"--{name} is {getattr(flags, name)}, expected 0 to 65535.")
    if not flags.port and not flags.grpc_socket_path:
        raise ConfigError("--port is 0 and --grpc_socket_path is empty. Give one of them.")


def _check_parallelism(flags: ServerFlags) -> None:
    session = flags.tensorflow_session_parallelism
    if session and flags.tensorflow_intra_op_parallelism and flags.tensorflow_inter_op_parallelism:
        raise ConfigError(
            "--tensorflow_session_parallelism, --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism are all set. Give the first, or the other two."
        )


def _check_batching(flags: ServerFlags) -> None:
    for name in ("batching_parameters_file", "enable_per_model_batching_parameters"):
        if getattr(flags, name) and not flags.enable_batching:
            raise ConfigError(
                f"--{name} is set without --enable_batching. Add that flag, or remove this one."
            )


@dataclasses.dataclass(frozen=True)
class ParsedFlags:
    """What a command line said.

    Attributes:
        flags: the flags.
        unknown: arguments that are no flag of this server; tensorflow_model_server reports
            them and goes on, so does this server.
    """

    flags: ServerFlags
    unknown: tuple[str, ...]


def parse_flags(arguments: Sequence[str]) -> ParsedFlags:
    """Parse a command line as `tensorflow::Flags` does: `--name=value` or a bare `--bool`.

    Args:
        arguments: the arguments after the program's name; of a repeated flag the last one counts.

    Returns:
        The flags and what was not understood.

    Raises:
        ConfigError: a value of the wrong type, or flags that cannot be honoured together.
    """
    fields = {field.name: field for field in dataclasses.fields(ServerFlags)}
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for argument in arguments:
        match = re.fullmatch(r"--(\w+)(?:=(.*))?", argument, re.DOTALL)
        field = fields.get(match[1]) if match else None
        if match is None or field is None:
            unknown.append(argument)
        else:
            values[field.name] = _parse_value(field.name, field.type, match[2])
    return ParsedFlags(flags=ServerFlags(**values), unknown=tuple(unknown))


def usage() -> str:
    """Describe every flag.

    Returns:
        One line per flag, with its default.
    """
    return "usage: python -m serving.model_server\nFlags:\n" + "".join(_describe_flags())


def _describe_flags() -> Iterator[str]:
    for field in dataclasses.fields(ServerFlags):
        default = str(field.default).lower() if field.type is bool else repr(field.default)
        refused = field.metadata["refused"]
        suffix = f" [refused: {refused}]" if refused else ""
        yield f"\t--{field.name}={default}\t{field.metadata['text']}{suffix}\n"


def _parse_value(name: str, kind: Any, text: str | None) -> bool | int | float | str:
    if kind is bool:
        if text not in {None, "true", "false"}:
            raise ConfigError(f"--{name} is {text!r}, expected true or false.")
        return text != "false"
    if text is None:
        raise ConfigError(f"--{name} has no value, expected --{name}=value.")
    if kind is str:
        return text
    try:
        number = kind(text)
    except ValueError as error:
        raise ConfigError(f"--{name} is {text!r}, expected a number.") from error
    if kind is int and not -_INT64_LIMIT <= number < _INT64_LIMIT:
        raise ConfigError(f"--{name} is {text!r}, expected a 64-bit number.")
    return number
