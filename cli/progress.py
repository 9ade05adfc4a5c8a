"""The progress bar of long work: on a terminal only, with rate, time left and rejects so far."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmdata.builder import Progress


@contextmanager
def shown() -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a build on standard error; quiet where that is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[rejects]}"),
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(progress: Progress) -> None:
            if progress.phase not in tasks:
                name = "building" if progress.phase == "build" else f"learning {progress.phase}"
                tasks[progress.phase] = bars.add_task(name, total=progress.total, rate="", rejects="")
            task = tasks[progress.phase]
            speed = bars.tasks[task].speed
            rate = f"{speed:,.0f} rows/s" if speed else ""
            rejects = f"{progress.rejects:,} rejected" if progress.rejects else ""
            bars.update(task, completed=progress.done, rate=rate, rejects=rejects)

        yield show
