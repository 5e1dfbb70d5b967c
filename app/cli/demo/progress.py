"""How the demo shows what it is doing: a bar at a terminal, and a plain line for each step that is over."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.cli.failures import say

Advance = Callable[[int], None]


@contextmanager
def step(doing: str, total: int | None = None) -> Iterator[Advance]:
    """Show that something goes on; the value yielded is called with the number of rows done since."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    began = time.monotonic()
    columns = [SpinnerColumn(), TextColumn("{task.description}")]
    counted = [BarColumn(), MofNCompleteColumn()] if total is not None else []
    console = Console(stderr=True)
    with Progress(
        *columns, *counted, TimeElapsedColumn(), console=console, transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda rows: bar.update(task, advance=rows)
    size = f"{total:,} " if total is not None else ""
    say(f"  {size}{doing} ({time.monotonic() - began:.1f} s)")
