"""The commands `review ...`: from the queue of humans back to training data."""

import asyncio
import getpass
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from serving.gateway.database.engine import create_engine, reading
from serving.gateway.database.review import count_by_status
from serving.gateway.records import ReviewStatus
from serving.gateway.review_export import Export, export_reviews
from serving.gateway.settings import GatewaySettings

app = typer.Typer(help="Pictures that humans look at.", no_args_is_help=True)


@app.command()
def export(
    data: Annotated[Path, typer.Argument(help="Folder of span-N folders; empty for a new one.")],
) -> None:
    """Make the next span of training data of what humans decided."""
    done = asyncio.run(_export(data))
    console = Console()
    if done.num_recovered:
        console.print(f"{done.num_recovered} pictures were exported before, and are noted now.")
    if done.folder is None:
        console.print("Nothing was decided since the last export.")
        return
    table = Table("class", "pictures")
    for label, count in sorted(done.labels.items()):
        table.add_row(label, str(count))
    console.print(table)
    console.print(
        f"They are in [bold]{done.folder}[/]. Next: make run DATA={shlex.quote(str(data))}"
    )


@app.command()
def status() -> None:
    """Count what waits, and what became of the rest."""
    table = Table("status", "pictures")
    for each, count in asyncio.run(_count()).items():
        table.add_row(each.value, str(count))
    Console().print(table)


async def _export(data: Path) -> Export:
    engine = create_engine(GatewaySettings().sqlalchemy_url)
    try:
        return await export_reviews(engine, data, actor=f"command:{getpass.getuser()}"[:128])
    finally:
        await engine.dispose()


async def _count() -> dict[ReviewStatus, int]:
    engine = create_engine(GatewaySettings().sqlalchemy_url)
    try:
        async with reading(engine) as session:
            return await count_by_status(session)
    finally:
        await engine.dispose()
