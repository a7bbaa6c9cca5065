"""Canonical status codes: what a gRPC client, a REST client and the version table are told."""

import enum
from typing import Final

from configs.errors import PipelineError


class Code(enum.IntEnum):
    """Canonical codes; the values are those of gRPC and of `tensorflow.error.Code`."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS: Final = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""Source: `ToHTTPStatusCode`, tensorflow_serving/model_servers/http_server.cc."""


class ServingError(PipelineError):
    """A request, a load or a configuration that ends with a canonical code.

    Attributes:
        code: the canonical code.
        message: what the client reads; the texts are TF Serving's where it has one.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = HTTP_STATUS[code]

    def describe(self) -> str:
        """Write code and message the way TF Serving nests one status in another.

        Returns:
            Text such as `INVALID_ARGUMENT: Missing ModelSpec`.
        """
        return f"{self.code.name}: {self.message}"


class PayloadTooLargeError(ServingError):
    """A body above the limit; HTTP has a status of its own for it."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.RESOURCE_EXHAUSTED, message)
        self.http_status = 413


class InvalidArgumentError(ServingError):
    """A request that no state of the server could make right."""

    def __init__(self, message: str) -> None:
        super().__init__(Code.INVALID_ARGUMENT, message)


def to_serving_error(error: BaseException) -> ServingError:
    """Give an exception of another library its canonical code.

    Args:
        error: anything that a load or a run raised.

    Returns:
        The error itself when it is ours, else one with the code that fits.
    """
    if isinstance(error, ServingError):
        return error
    # An OpError of TensorFlow; looked at by shape, so that this module starts without TensorFlow.
    op_error_code = getattr(error, "error_code", None)
    if isinstance(op_error_code, int) and op_error_code in HTTP_STATUS:
        return ServingError(Code(op_error_code), str(getattr(error, "message", error)))
    if isinstance(error, FileNotFoundError):
        return ServingError(Code.NOT_FOUND, str(error))
    if isinstance(error, PermissionError):
        return ServingError(Code.PERMISSION_DENIED, str(error))
    if isinstance(error, MemoryError):
        return ServingError(Code.RESOURCE_EXHAUSTED, f"out of memory: {error}")
    return ServingError(Code.UNKNOWN, f"{type(error).__name__}: {error}")
