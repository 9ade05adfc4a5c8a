"""The signs of life of a worker process: a few integers in memory that it shares with its parent.

The worker alone writes while it has a task, so there is no lock. When it has died, they still say where.
"""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.context import SpawnContext

_BEATS, _POSITION, _PLACE, _ROWS, _REJECTS, _EXHAUSTED = range(6)
_NOWHERE = -1


@dataclass(frozen=True)
class Sight:
    """What the signs said at one moment.

    `beats` counts the signs of life, `position` is the row that the worker is at (None between rows), `place` the number of the
    stage, `rows` and `rejects` what is done of the task, `exhausted` whether it gave up for lack of memory.
    """

    beats: int
    position: int | None
    place: int
    rows: int
    rejects: int
    exhausted: bool


class Signs:
    """The `Watch` of a job in a worker process, which the parent reads with `seen`."""

    def __init__(self, context: SpawnContext) -> None:
        self._cells = context.RawArray("q", 6)
        self.clear()

    def clear(self) -> None:
        """Begin anew, before the worker gets a task."""
        self._cells[:] = [0, _NOWHERE, 0, 0, 0, 0]

    def begin(self, position: int) -> None:
        """Show the row, at the first place."""
        cells = self._cells
        cells[_PLACE] = 0
        cells[_POSITION] = position
        cells[_BEATS] += 1

    def enter(self, place: int) -> None:
        """Show the place."""
        self._cells[_PLACE] = place

    def made(self) -> None:
        """Show a sign of life."""
        self._cells[_BEATS] += 1

    def end(self, *, rejected: bool) -> None:
        """Count the row."""
        cells = self._cells
        cells[_POSITION] = _NOWHERE
        cells[_ROWS] += 1
        cells[_REJECTS] += rejected
        cells[_BEATS] += 1

    def give_up(self) -> None:
        """Show that the worker ends for lack of memory."""
        self._cells[_EXHAUSTED] = 1

    def seen(self) -> Sight:
        """Return what the signs say now."""
        beats, position, place, rows, rejects, exhausted = self._cells[:]
        return Sight(beats, None if position == _NOWHERE else position, place, rows, rejects, bool(exhausted))
