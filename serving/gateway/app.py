"""The web application."""

import contextlib
import gc
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

from fastapi import FastAPI

from configs.version import VERSION
from serving.gateway.auth.dependency import declare_open, set_authenticator
from serving.gateway.console.opening import open_console
from serving.gateway.console.router import make_router
from serving.gateway.observability.metrics import GatewayMetrics
from serving.gateway.observability.middleware import install_observability
from serving.gateway.observability.tracing import start_tracing
from serving.gateway.operations import Operations
from serving.gateway.routes import explain, feedback, health, models, predict, predictions, root
from serving.gateway.services import open_services
from serving.gateway.settings import GatewaySettings, load_settings
from serving.gateway.uploads.body import set_body_time_limit

DESCRIPTION = """\
Pictures in, labels out. Send an API key as `Authorization: Bearer <key>`; keys are made with
`loupe keys create`. Every error has the same body: what was wrong, what was got, what is accepted,
how to fix it.
"""


def create_app(settings: GatewaySettings) -> FastAPI:
    """Make the prediction API.

    Args:
        settings: what it is told.

    Returns:
        The app; its parts start with its lifespan.

    Raises:
        ConfigError: settings that cannot be used.
    """
    metrics = GatewayMetrics(metrics_folder(settings))
    tracing = start_tracing(settings.trace_endpoint)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_services(settings, metrics, tracing) as services:
            set_authenticator(app, services.authenticator)
            app.state.services = services
            app.state.operations = Operations(services)
            async with open_console(app, services, app.state.operations):
                with _settled_objects():
                    yield

    app = FastAPI(
        title="Loupe prediction API",
        description=DESCRIPTION,
        version=VERSION,
        lifespan=lifespan,
        # The usual pages load scripts from a CDN, which the content security policy forbids.
        docs_url=None,
        redoc_url=None,
        # A path with a slash too many would lead, key and picture, to `http://` behind a proxy.
        redirect_slashes=False,
    )
    declare_open(app, "/openapi.json")
    set_body_time_limit(app, settings.upload.body_timeout_seconds)
    for part in (predict, explain, feedback, predictions, models, health, root):
        app.include_router(part.router)
    app.include_router(make_router())
    install_observability(
        app, metrics=metrics, tracing=tracing, max_body_bytes=settings.upload.max_body_bytes
    )
    return app


@contextlib.contextmanager
def _settled_objects() -> Generator[None]:
    # The start leaves 180,000 objects. Looking through them for garbage took 0.1 s at a time, every
    # few seconds under load, in which nobody was answered.
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def create_app_from_environment() -> FastAPI:
    """Make the app of a worker process.

    Returns:
        The app, with the settings of the environment.
    """
    return create_app(load_settings())


def metrics_folder(settings: GatewaySettings) -> Path | None:
    """Tell where processes that share a port count together.

    Args:
        settings: what the gateway was told.

    Returns:
        A folder; None for a single process.
    """
    return settings.state_folder / "metrics" if settings.workers > 1 else None
