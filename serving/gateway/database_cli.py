"""`loupe database`: which version the gateway's tables have, and how to change it."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from configs.errors import ConfigError
from serving.gateway.commands import StateOption, run_on_url

database_app = typer.Typer(
    help="Tables of the prediction API; reads LOUPE_GATEWAY_* as the API does.",
    no_args_is_help=True,
)

_NONE: Final = "none, the database is empty"


@database_app.command()
def status(state_folder: StateOption = None) -> None:
    """Show the version of the tables, and the newest that this program knows."""
    current, newest = run_on_url(state_folder, _read_versions)
    console = Console(highlight=False)
    console.print(f"version: {current or _NONE}")
    console.print(f"newest: {newest}")


@database_app.command()
def upgrade(state_folder: StateOption = None) -> None:
    """Bring the tables to the newest version; the prediction API does so when it starts."""
    _migrate(state_folder, "head")


@database_app.command()
def downgrade(
    version: Annotated[str, typer.Argument(help="Id of an older version; base for none.")],
    is_sure: Annotated[
        bool, typer.Option("--yes", help="What the newer versions store is lost, and may be.")
    ] = False,
    state_folder: StateOption = None,
) -> None:
    """Take versions of the tables back, before an older program is started."""
    _require_yes(is_sure, version)
    _migrate(state_folder, version)


def _require_yes(is_sure: bool, version: str) -> None:
    if not is_sure:
        raise ConfigError(
            f"going back to version '{version}' deletes what newer versions store. Make a backup, "
            "stop the prediction API, and add --yes."
        )


def _migrate(state_folder: Path | None, version: str) -> None:
    async def run(url: str) -> tuple[str | None, str]:
        from serving.gateway.database.migrate import migrate

        await migrate(url, version)
        return await _read_versions(url)

    current, _ = run_on_url(state_folder, run)
    Console(highlight=False).print(f"version: {current or _NONE}")


async def _read_versions(url: str) -> tuple[str | None, str]:
    from serving.gateway.database.migrate import current_version, list_versions

    return await current_version(url), list_versions()[-1]
