"""What a request is refused with: a status, a code for programs and a sentence for people."""

from collections.abc import Mapping
from typing import Any

from configs.errors import PipelineError


class GatewayError(PipelineError):
    """A request that is refused on purpose.

    Args:
        message: one sentence: where, and what is wrong.
        got: what was received.
        accepted: what is accepted instead.
        fix: what the caller can do.
        headers: response headers, such as Retry-After.

    Attributes:
        code: a stable name for programs.
    """

    http_status = 500
    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        got: str = "",
        accepted: str = "",
        fix: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.got = got
        self.accepted = accepted
        self.fix = fix
        self.headers = dict(headers or {})

    def to_body(self, request_id: str) -> dict[str, Any]:
        """Make the body of the answer.

        Args:
            request_id: id of the request, to be quoted when asking for help.

        Returns:
            `error` (the sentence), `code`, `request_id`, and `got`, `accepted`, `fix` where known.
        """
        details = {"got": self.got, "accepted": self.accepted, "fix": self.fix}
        return {
            "error": self.message,
            "code": self.code,
            "request_id": request_id,
            **{name: value for name, value in details.items() if value},
        }


class BadRequestError(GatewayError):
    """A request that cannot be read."""

    http_status = 400
    code = "bad_request"


class UnauthenticatedError(GatewayError):
    """No credential, or one that is wrong, expired or revoked."""

    http_status = 401
    code = "unauthenticated"


class ForbiddenError(GatewayError):
    """A credential without the scope that the route needs."""

    http_status = 403
    code = "forbidden"


class NotFoundError(GatewayError):
    """Something that does not exist, or that belongs to somebody else."""

    http_status = 404
    code = "not_found"


class ConflictError(GatewayError):
    """A change to something that has changed meanwhile."""

    http_status = 409
    code = "conflict"


class RequestTimeoutError(GatewayError):
    """A body that came too slowly."""

    http_status = 408
    code = "request_timeout"


class TooLargeError(GatewayError):
    """A body, or a picture, over the limits."""

    http_status = 413
    code = "too_large"


class UnsupportedTypeError(GatewayError):
    """Content that is no image of an accepted format."""

    http_status = 415
    code = "unsupported_type"


class UnprocessableError(GatewayError):
    """An image, or a value, that is understood and cannot be used."""

    http_status = 422
    code = "unprocessable"


class ThrottledError(GatewayError):
    """More requests than the caller's share."""

    http_status = 429
    code = "throttled"


class OverloadedError(GatewayError):
    """More requests than the service can take."""

    http_status = 503
    code = "overloaded"


class UnavailableError(GatewayError):
    """A part behind this one that is gone, where no fallback is allowed."""

    http_status = 503
    code = "unavailable"


class DeadlineError(GatewayError):
    """An answer that did not come in time."""

    http_status = 504
    code = "deadline_exceeded"
