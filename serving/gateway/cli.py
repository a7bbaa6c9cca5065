"""`loupe keys`: makes, lists, rotates and revokes API keys in the gateway's database."""

import datetime
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serving.gateway.commands import StateOption, name_of_user, run_on_engine
from serving.gateway.scopes import Scope

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from serving.gateway.auth.key_store import KeyEntry, KeyStore
    from serving.gateway.settings import GatewaySettings

keys_app = typer.Typer(
    help="API keys of the prediction API; reads LOUPE_GATEWAY_* as the API does.",
    no_args_is_help=True,
)

DEFAULT_SCOPES: Final = [Scope.PREDICT, Scope.FEEDBACK, Scope.READ]
_STATE_COLOURS: Final = {"active": "green", "expired": "yellow", "revoked": "red"}

Result = TypeVar("Result")
ExpiresOption = Annotated[
    float | None, typer.Option("--expires-days", min=0, max=36500, help="Days until the key ends.")
]
KeyIdArgument = Annotated[str, typer.Argument(help="Id of the key, as `loupe keys list` shows it.")]


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who uses it.")],
    scope: Annotated[
        list[Scope], typer.Option("--scope", "-s", help="What it allows; repeatable.")
    ] = DEFAULT_SCOPES,
    expires_days: ExpiresOption = None,
    state_folder: StateOption = None,
) -> None:
    """Make a key, and print it once: the key alone on standard output."""
    key = _with_store(
        state_folder,
        lambda store: store.create(
            name, scope, actor=name_of_user(), expires_at=_end(expires_days)
        ),
    )
    print(key.text)
    _say(
        f"Key [bold]{key.key_id}[/] of {escape(name)} allows {', '.join(sorted(set(scope)))}. "
        "Keep what is printed above: nobody can show it again."
    )


@keys_app.command("list")
def list_keys(
    show_all: Annotated[
        bool, typer.Option("--all", "-a", help="Those that have ended, too.")
    ] = False,
    state_folder: StateOption = None,
) -> None:
    """List keys; their secrets are not kept, and cannot be shown."""
    now = datetime.datetime.now(datetime.UTC)
    entries = _with_store(state_folder, lambda store: store.list_keys())
    shown = [entry for entry in entries if show_all or entry.state(now).value == "active"]
    Console().print(_make_table(shown, now))
    if len(shown) < len(entries):
        _say(f"{len(entries) - len(shown)} more have ended: add --all.")


@keys_app.command()
def rotate(
    key_id: KeyIdArgument,
    grace_hours: Annotated[
        float,
        typer.Option("--grace-hours", min=0, max=8760, help="How long the old secret works too."),
    ] = 24.0,
    expires_days: ExpiresOption = None,
    state_folder: StateOption = None,
) -> None:
    """Give a key a new secret, and print it once; its id, history and limits stay."""
    grace = datetime.timedelta(hours=grace_hours)
    key = _with_store(
        state_folder,
        lambda store: store.rotate(
            key_id, actor=name_of_user(), grace=grace, expires_at=_end(expires_days)
        ),
        ends_secret=True,
    )
    print(key.text)
    until = f"for {grace_hours:g} more hours" if grace else "no longer"
    _say(f"Key [bold]{key.key_id}[/] has a new secret. The old one works {until}.")


@keys_app.command()
def revoke(key_id: KeyIdArgument, state_folder: StateOption = None) -> None:
    """End a key at once and for good."""
    entry = _with_store(
        state_folder, lambda store: store.revoke(key_id, actor=name_of_user()), ends_secret=True
    )
    _say(f"Key [bold]{entry.key_id}[/] of {escape(entry.name)} opens nothing any more.")


def _with_store(
    state_folder: Path | None,
    work: "Callable[[KeyStore], Awaitable[Result]]",
    *,
    ends_secret: bool = False,
) -> Result:
    async def run(engine: "AsyncEngine", settings: "GatewaySettings") -> Result:
        from serving.gateway.auth.key_copy import remove_copy
        from serving.gateway.auth.key_store import KeyStore
        from serving.gateway.secrets import read_key_secret

        if ends_secret:  # a gateway that starts without its database must not bring it back
            remove_copy(settings.state_folder)
        return await work(KeyStore(engine, read_key_secret(settings)))

    return run_on_engine(state_folder, run)


def _make_table(entries: "list[KeyEntry]", now: datetime.datetime) -> Table:
    table = Table("id", "name", "scopes", "made", "ends", "state")
    for entry in entries:
        state = entry.state(now).value
        table.add_row(
            entry.key_id,
            escape(entry.name),
            ", ".join(sorted(entry.scopes)),
            f"{entry.created_at:%Y-%m-%d}",
            f"{entry.expires_at:%Y-%m-%d}" if entry.expires_at else "never",
            f"[{_STATE_COLOURS[state]}]{state}[/]",
        )
    return table


def _end(days: float | None) -> datetime.datetime | None:
    if days is None:
        return None
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def _say(text: str) -> None:
    # Not on standard output: KEY=$(loupe keys create ...) takes the key alone.
    Console(stderr=True).print(text, highlight=False)
