"""A progress bar for work of one step."""

import contextlib
from collections.abc import Callable, Generator

from rich.console import Console
from rich.progress import Progress


@contextlib.contextmanager
def show_progress(console: Console, title: str) -> Generator[Callable[[int, int], None]]:
    """Show a bar while a block runs.

    Args:
        console: where to show it.
        title: what is being done.

    Yields:
        A function to call with the number done and the total.
    """
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(title, total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield report
