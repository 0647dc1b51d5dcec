"""What the commands share: where they print, and how they show progress."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

console = Console()
errors = Console(stderr=True)  # and progress, so that stdout holds results only

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@contextmanager
def progress(total: int | None = None, unit: str = "clicks") -> Iterator[Callable[[str, int], None]]:
    """Show a bar on stderr, as far as `total` is known; yields what to call with what is being done, and how far."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,}} {unit}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=errors, transient=True) as bar:
        task = bar.add_task("Starting", total=total)
        yield lambda doing, done: bar.update(task, description=doing, completed=done)
