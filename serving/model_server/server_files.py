"""The files that flags name, read at start before TensorFlow is imported, which takes seconds."""

from dataclasses import dataclass
from typing import Any

from serving.model_server.batching_parameters import BatchingParameters, batching_from_flags
from serving.model_server.config import ModelConfigs, models_from_flags
from serving.model_server.flags import ServerFlags
from serving.model_server.monitoring import read_metrics_path
from serving.model_server.tls import read_credentials


@dataclass(frozen=True)
class ServerFiles:
    """What the files say.

    Attributes:
        configs: the models by name.
        batching: how requests are batched; None for one by one.
        metrics_path: URL path of the metrics; empty for none.
        credentials: gRPC's server credentials; None for plain text.
    """

    configs: ModelConfigs
    batching: BatchingParameters | None
    metrics_path: str
    credentials: Any


def read_server_files(flags: ServerFlags) -> ServerFiles:
    """Read every file that the flags name.

    Args:
        flags: the command line.

    Returns:
        What they say.

    Raises:
        ConfigError: a file cannot be read, does not parse, or says what cannot be honoured.
    """
    return ServerFiles(
        configs=models_from_flags(flags),
        batching=batching_from_flags(flags),
        metrics_path=read_metrics_path(flags),
        credentials=read_credentials(flags),
    )
