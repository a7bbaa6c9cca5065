"""The error tree: each class carries its HTTP status and the exit code of a run."""

from collections.abc import Mapping
from typing import Any


class PipelineError(Exception):
    """Base of every error that Loupe raises on purpose.

    Args:
        message: where, what was got, what was expected, how to fix it.
        facts: what the run's summary should hold beside the message, by its field.

    Attributes:
        http_status: status a server answers with when this error ends a request.
        exit_code: status a command ends with when this error ends it.
        facts: as given; the artifacts of a stage that failed are gone.
    """

    http_status = 500
    exit_code = 1

    def __init__(self, message: str = "", *, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.facts = dict(facts or {})


class ConfigError(PipelineError):
    """A setting, flag or config file that cannot be used."""

    http_status = 400
    exit_code = 2


class DataError(PipelineError):
    """Input data that cannot become a data set."""

    http_status = 422
    exit_code = 4


class StageError(PipelineError):
    """A stage of the pipeline that did not finish."""

    exit_code = 5


class EnvironmentSetupError(PipelineError):
    """A machine that lacks something Loupe needs."""

    exit_code = 6


class InvalidImageError(PipelineError):
    """Bytes that are not an image Loupe can read."""

    http_status = 400
    exit_code = 4


class ModelNotFoundError(PipelineError):
    """A model, version or label that nobody serves."""

    http_status = 404


class ModelNotReadyError(PipelineError):
    """A model that exists but does not answer yet."""

    http_status = 503


class UpstreamError(PipelineError):
    """A server behind this one that answered wrongly."""

    http_status = 502


class UpstreamTimeoutError(PipelineError):
    """A server behind this one that did not answer in time."""

    http_status = 504
