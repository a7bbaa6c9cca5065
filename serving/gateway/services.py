"""Everything that lives as long as a process of the prediction API, started and ended in order."""

import asyncio
import contextlib
import dataclasses
import datetime
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from configs.errors import ConfigError
from serving.gateway.admission import Admission
from serving.gateway.auth.authenticator import Authenticator
from serving.gateway.auth.key_copy import KeyCopy, remove_copy
from serving.gateway.auth.key_ring import KeyRing
from serving.gateway.auth.key_store import KeyStore
from serving.gateway.auth.tokens import TokenVerifier
from serving.gateway.database.engine import create_engine, describe_cause
from serving.gateway.database.migrate import migrate
from serving.gateway.errors import UnavailableError
from serving.gateway.model.client import ModelClient
from serving.gateway.model.fallback import Fallback
from serving.gateway.model.health import ModelHealth
from serving.gateway.observability.metrics import GatewayMetrics
from serving.gateway.observability.tracing import Tracing
from serving.gateway.predictor import Predictor, PredictorParts
from serving.gateway.recorder import Recorder
from serving.gateway.retention import Retention
from serving.gateway.rules_store import RulesHolder
from serving.gateway.secrets import read_key_secret
from serving.gateway.settings import GatewaySettings
from serving.gateway.throttle.throttle import Throttle, make_throttle

_GAUGE_SECONDS: Final = 1.0
_DATABASE_SECONDS: Final = 2.0
"""Pause between attempts to bring a database that is down to its newest version."""

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Services:
    """The parts of a running gateway.

    Attributes:
        settings: what it was told.
        engine: the database.
        authenticator: checks credentials.
        key_ring: API keys in memory.
        throttle: limits of rates.
        rules: the business rules in force.
        recorder: brings records into the database.
        client: the model server.
        health: whether the model server answers.
        fallback: what stands in for it.
        admission: limits of concurrency.
        predictor: answers pictures.
        metrics: counts.
        tracing: spans.
    """

    settings: GatewaySettings
    engine: AsyncEngine
    authenticator: Authenticator
    key_ring: KeyRing
    throttle: Throttle
    rules: RulesHolder
    recorder: Recorder
    client: ModelClient
    health: ModelHealth
    fallback: Fallback
    admission: Admission
    predictor: Predictor
    metrics: GatewayMetrics
    tracing: Tracing


@contextlib.asynccontextmanager
async def open_services(
    settings: GatewaySettings, metrics: GatewayMetrics, tracing: Tracing
) -> AsyncGenerator[Services]:
    """Start every part, and end them in the opposite order.

    A database that is down is no reason not to start: predictions go on without it.

    Args:
        settings: what the gateway was told.
        metrics: counts.
        tracing: spans.

    Yields:
        The running parts.

    Raises:
        ConfigError: a file or an address of the settings that cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        pepper = read_key_secret(settings)
        engine = create_engine(settings.sqlalchemy_url)
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(asyncio.to_thread, tracing.stop)
        await _bring_up_to_date(settings, stack)
        key_ring = _make_key_ring(settings, engine, pepper)
        stack.push_async_callback(key_ring.stop)
        await key_ring.start()
        rules = RulesHolder(engine, settings.rules_file)
        stack.push_async_callback(rules.stop)
        await rules.start()
        spool_folder = settings.state_folder / "spool"
        recorder = Recorder(engine, spool_folder)
        await _start_recorder(recorder, spool_folder)
        stack.push_async_callback(recorder.stop)
        retention = Retention(engine, rules, spool_folder)
        stack.push_async_callback(retention.stop)
        retention.start()
        throttle = make_throttle(settings.throttle, engine)
        stack.push_async_callback(throttle.close)
        fallback = Fallback(settings.fallback)
        stack.callback(fallback.close)
        client = ModelClient(settings.model)
        stack.push_async_callback(client.close)
        admission = Admission(settings.admission)
        parts = PredictorParts(
            settings, client, fallback, admission, rules, recorder, metrics, tracing
        )
        predictor = Predictor(parts)
        stack.callback(predictor.close)
        services = Services(
            settings=settings,
            engine=engine,
            authenticator=_make_authenticator(settings, key_ring),
            key_ring=key_ring,
            throttle=throttle,
            rules=rules,
            recorder=recorder,
            client=client,
            health=ModelHealth(client),
            fallback=fallback,
            admission=admission,
            predictor=predictor,
            metrics=metrics,
            tracing=tracing,
        )
        _run_beside(stack, _follow_gauges(services))
        yield services


async def _start_recorder(recorder: Recorder, spool_folder: Path) -> None:
    try:
        await recorder.start()
    except OSError as error:
        raise ConfigError(
            f"spool '{spool_folder}' cannot be written: {error}. Give the gateway a folder of its "
            "own in LOUPE_GATEWAY_STATE_FOLDER."
        ) from error


def _make_key_ring(settings: GatewaySettings, engine: AsyncEngine, pepper: bytes) -> KeyRing:
    if not settings.key_copy_hours:
        remove_copy(settings.state_folder)
        return KeyRing(KeyStore(engine, pepper), pepper)
    copy = KeyCopy(
        settings.state_folder,
        pepper,
        database=engine.url.render_as_string(hide_password=True),
        max_age=datetime.timedelta(hours=settings.key_copy_hours),
    )
    return KeyRing(KeyStore(engine, pepper), pepper, copy=copy)


def _make_authenticator(settings: GatewaySettings, key_ring: KeyRing) -> Authenticator:
    verifier = TokenVerifier(settings.token) if settings.token.is_enabled else None
    return Authenticator(key_ring, verifier, is_off=settings.unsafe_no_auth)


async def _bring_up_to_date(settings: GatewaySettings, stack: contextlib.AsyncExitStack) -> None:
    try:
        await migrate(settings.sqlalchemy_url)
    except UnavailableError as error:
        _log.error("the database is down; starting without it", cause=describe_cause(error))
        _run_beside(stack, _bring_up_to_date_later(settings))


async def _bring_up_to_date_later(settings: GatewaySettings) -> None:
    problem = ""
    while True:
        await asyncio.sleep(_DATABASE_SECONDS)
        try:
            await migrate(settings.sqlalchemy_url)
        except UnavailableError:
            continue
        except ConfigError as error:  # at a start with the database up, this ends the program
            if str(error) != problem:
                _log.critical("the database cannot be used", problem=str(error))
            problem = str(error)
            continue
        _log.info("the database is up, with the newest tables")
        return


async def _follow_gauges(services: Services) -> None:
    # Of several processes only one is asked for /metrics; all of them keep their own gauges fresh.
    while True:
        metrics = services.metrics
        metrics.set_breaker(services.client.breaker_state)
        metrics.spool_records.set(services.recorder.num_waiting)
        if services.key_ring.age_seconds is not None:
            metrics.keys_age_seconds.set(services.key_ring.age_seconds)
        await asyncio.sleep(_GAUGE_SECONDS)


def _run_beside(stack: contextlib.AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
