"""What the console needs of the rest of the gateway."""

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from serving.gateway.api_types import (
    FeedbackAnswer,
    FeedbackRequest,
    ModelsAnswer,
    PredictionAnswer,
)
from serving.gateway.auth.authenticator import Authenticator
from serving.gateway.console.sessions import Sessions
from serving.gateway.console.sign_in_limit import SignInLimit
from serving.gateway.console.statistics import StatisticsReader
from serving.gateway.console.status_log import StatusLog
from serving.gateway.scopes import Principal


@dataclasses.dataclass(frozen=True, slots=True)
class Vitals:
    """The state of the gateway's other parts.

    Attributes:
        breaker: closed, open or half_open.
        spooled: records that wait for the database.
    """

    breaker: str
    spooled: int


@dataclasses.dataclass(frozen=True, slots=True)
class ConsoleParts:
    """What the console is made of; the application keeps it as `app.state.console`.

    Attributes:
        sessions: signs cookies and forms.
        authenticator: who may sign in.
        sign_in_limit: how often that may fail.
        engine: the database.
        predict: the whole way of `POST /v1/predict`, for a body in the same forms.
        explain: the whole way of `POST /v1/explain`: an overlay, PNG.
        send_feedback: the whole way of `POST /v1/feedback`.
        describe_models: the whole way of `GET /v1/models`.
        list_labels: the model's class names in its own order; empty while they are unknown.
        statistics: what the prediction log says.
        statuses: answers by status.
        read_vitals: the state of the gateway's other parts.
        max_image_bytes: largest accepted image.
        drift_report_file: where the drift monitor writes; None where there is none.
    """

    sessions: Sessions
    authenticator: Authenticator
    sign_in_limit: SignInLimit
    engine: AsyncEngine
    predict: Callable[[Request, Principal], Awaitable[PredictionAnswer]]
    explain: Callable[[Request, Principal], Awaitable[bytes]]
    send_feedback: Callable[[Request, FeedbackRequest, Principal], Awaitable[FeedbackAnswer]]
    describe_models: Callable[[], Awaitable[ModelsAnswer]]
    list_labels: Callable[[], Sequence[str]]
    statistics: StatisticsReader
    statuses: StatusLog
    read_vitals: Callable[[], Vitals]
    max_image_bytes: int
    drift_report_file: Path | None


def get_parts(request: Request) -> ConsoleParts:
    """Find the console's parts.

    Args:
        request: any request of the application.

    Returns:
        What the application keeps.
    """
    parts: ConsoleParts = request.app.state.console
    return parts
