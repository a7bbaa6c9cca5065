"""`--monitoring_config_file`: whether and where metrics are exported."""

from typing import Final

from configs.errors import ConfigError
from serving.model_server.flags import ServerFlags
from serving.model_server.text_protos import read_text_proto

DEFAULT_METRICS_PATH: Final = "/monitoring/prometheus/metrics"
_FLAG: Final = "--monitoring_config_file"
_TAKEN: Final = ("/healthz", "/readyz")


def read_metrics_path(flags: ServerFlags) -> str:
    """Find out where on the REST port metrics are exported.

    Args:
        flags: the command line.

    Returns:
        The path; empty when metrics are off.

    Raises:
        ConfigError: the file cannot be read or parsed, REST is off, or the path cannot be used.
    """
    if not flags.monitoring_config_file:
        return ""
    config = read_text_proto(flags.monitoring_config_file, "MonitoringConfig", _FLAG)
    if not config.prometheus_config.enable:
        return ""
    if not flags.rest_api_port:
        raise ConfigError(
            f"{_FLAG} enables Prometheus and --rest_api_port is 0. Metrics are exported on the "
            "REST port: give one."
        )
    path = config.prometheus_config.path or DEFAULT_METRICS_PATH
    if not path.startswith("/") or path.lower().startswith("/v1/") or path in _TAKEN:
        raise ConfigError(
            f"{_FLAG} has the path {path!r}, expected one that begins with / and is neither "
            f"below /v1/ nor one of {', '.join(_TAKEN)}. Leave it out for {DEFAULT_METRICS_PATH}."
        )
    return path
