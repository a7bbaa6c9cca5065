"""What the commands on the gateway's database share; imports its packages only when one runs."""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from configs.errors import ConfigError, EnvironmentSetupError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from serving.gateway.settings import GatewaySettings

Result = TypeVar("Result")
StateOption = Annotated[
    Path | None,
    typer.Option("--state-folder", help="The gateway's state folder; else LOUPE_GATEWAY_*."),
]


def run_on_settings(
    state_folder: Path | None, work: "Callable[[GatewaySettings], Awaitable[Result]]"
) -> Result:
    """Run a coroutine function on the gateway's settings.

    Args:
        state_folder: of a gateway with SQLite; None for what the environment says.
        work: gets the settings.

    Returns:
        What it returns.

    Raises:
        ConfigError: settings that cannot be used, or a refusal, in one sentence.
        EnvironmentSetupError: the gateway's packages are missing.
    """
    try:
        from serving.gateway.errors import GatewayError
        from serving.gateway.settings import load_settings
    except ModuleNotFoundError as error:
        raise EnvironmentSetupError(
            f"the gateway's packages are missing here ({error.name}). Install those of "
            "requirements/gateway.lock, or run this where the gateway runs."
        ) from error
    settings = load_settings(**({"state_folder": state_folder} if state_folder else {}))

    async def run() -> Result:
        return await work(settings)

    try:
        return asyncio.run(run())
    except GatewayError as error:
        raise ConfigError(" ".join(filter(None, (error.message, error.fix)))) from error


def run_on_url(state_folder: Path | None, work: "Callable[[str], Awaitable[Result]]") -> Result:
    """Run a coroutine function on the database's URL.

    Args:
        state_folder: as `run_on_settings`.
        work: gets the URL.

    Returns:
        What it returns.

    Raises:
        ConfigError: as `run_on_settings`.
        EnvironmentSetupError: as `run_on_settings`.
    """
    return run_on_settings(state_folder, lambda settings: work(settings.sqlalchemy_url))


def run_on_engine(
    state_folder: Path | None, work: "Callable[[AsyncEngine, GatewaySettings], Awaitable[Result]]"
) -> Result:
    """Run a coroutine function on the database, with its newest tables.

    Args:
        state_folder: as `run_on_settings`.
        work: gets an engine and the settings.

    Returns:
        What it returns.

    Raises:
        ConfigError: as `run_on_settings`.
        EnvironmentSetupError: as `run_on_settings`.
    """

    async def run(settings: "GatewaySettings") -> Result:
        from serving.gateway.database.engine import create_engine
        from serving.gateway.database.migrate import migrate

        await migrate(settings.sqlalchemy_url)
        engine = create_engine(settings.sqlalchemy_url)
        try:
            return await work(engine, settings)
        finally:
            await engine.dispose()

    return run_on_settings(state_folder, run)


def name_of_user() -> str:
    """Name who runs a command, for the audit log.

    Returns:
        The name the system knows, not the environment's: that one says what somebody exports.
    """
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:user {os.getuid()}"
