"""`loupe review`: from the queue of humans back to training data."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serving.gateway.commands import StateOption, name_of_user, run_on_engine

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from serving.gateway.records import ReviewStatus
    from serving.gateway.review_export import Export

review_app = typer.Typer(
    help="Pictures that humans look at; reads LOUPE_GATEWAY_* as the API does.",
    no_args_is_help=True,
)


@review_app.command()
def export(
    data: Annotated[Path, typer.Argument(help="Folder of span-N folders; a new one is made.")],
    state_folder: StateOption = None,
) -> None:
    """Make the next span of training data of what humans decided."""
    done = run_on_engine(state_folder, lambda engine, _: _export(engine, data))
    console = Console(highlight=False)
    if done.num_recovered:
        console.print(f"{done.num_recovered} pictures were exported before; that is noted now.")
    if done.folder is None:
        console.print("Nothing was decided since the last export.")
        return
    table = Table("class", "pictures")
    for label, count in sorted(done.labels.items()):
        table.add_row(escape(label), str(count))
    console.print(table)
    console.print(
        f"They are in [bold]{escape(str(done.folder))}[/]. "
        f"Next: make run DATA={escape(shlex.quote(str(data)))}"
    )


@review_app.command()
def status(state_folder: StateOption = None) -> None:
    """Count what waits, and what became of the rest."""
    table = Table("status", "pictures")
    for each, count in run_on_engine(state_folder, lambda engine, _: _count(engine)).items():
        table.add_row(each.value, str(count))
    Console().print(table)


async def _export(engine: "AsyncEngine", data: Path) -> "Export":
    from serving.gateway.review_export import export_reviews

    return await export_reviews(engine, data, actor=name_of_user())


async def _count(engine: "AsyncEngine") -> "dict[ReviewStatus, int]":
    from serving.gateway.database.engine import reading
    from serving.gateway.database.review import count_by_status

    async with reading(engine) as session:
        return await count_by_status(session)
