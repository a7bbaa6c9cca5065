"""Puts the console into a running gateway."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

from fastapi import FastAPI

from serving.gateway.console.known_labels import KnownLabels
from serving.gateway.console.parts import ConsoleParts, Vitals
from serving.gateway.console.sessions import Sessions
from serving.gateway.console.sign_in_limit import SignInLimit
from serving.gateway.console.statistics import StatisticsReader
from serving.gateway.console.status_log import StatusLog
from serving.gateway.operations import Operations
from serving.gateway.secrets import derive_secret, read_key_secret
from serving.gateway.services import Services

_COUNTED_PATHS: Final = (
    "/v1/predict",
    "/v1/explain",
    "/v1/feedback",
    "/v1/models",
    "/console/try/",
)


@contextlib.asynccontextmanager
async def open_console(
    app: FastAPI, services: Services, operations: Operations
) -> AsyncGenerator[None]:
    """Give the routes of `make_router` what they need, as long as the gateway runs.

    Args:
        app: the application.
        services: its running parts.
        operations: what the API does.

    Yields:
        Nothing; the console works meanwhile.
    """
    settings = services.settings
    folder = settings.state_folder / "console"
    statuses = StatusLog(
        folder / "statuses", lambda: services.metrics.count_statuses(_COUNTED_PATHS)
    )
    secret = derive_secret(read_key_secret(settings), "console")
    app.state.console = ConsoleParts(
        sessions=Sessions(secret, is_secure=settings.secure_cookies),
        authenticator=services.authenticator,
        sign_in_limit=SignInLimit(settings.throttle),
        engine=services.engine,
        predict=operations.predict,
        explain=operations.explain,
        send_feedback=operations.send_feedback,
        describe_models=operations.describe_models,
        list_labels=KnownLabels(folder / "labels.json", operations.list_labels).list_labels,
        statistics=StatisticsReader(services.engine),
        statuses=statuses,
        read_vitals=lambda: Vitals(services.client.breaker_state, services.recorder.num_waiting),
        max_image_bytes=settings.upload.max_image_bytes,
        drift_report_file=settings.drift_report_file,
    )
    task = asyncio.create_task(statuses.run(), name="console statuses")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
