"""The ledger of one run of an engine: which rows workers died at, and which of them are given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mmdata.engines.base import Casualties, Casualty
from mmdata.engines.signs import Sight
from mmdata.errors import MmdataError
from mmdata.record import Reject

MOST_TRIES = 3
"""How often workers may die at the same thing outside of any row before the run fails."""

_WHAT_TO_DO = (
    "where memory is short, take fewer workers (--workers) or raise limits.memory in the recipe; run the build again to go on"
)


class Ledger:
    """Deaths by task and row.

    One death may be bad luck, so a row is given up at its second; one that hangs is given up at once.
    """

    def __init__(self, places: Sequence[str]) -> None:
        """Call the places of a row by the names that the job has for them."""
        self._places = places
        self._suspects: set[tuple[int, int]] = set()
        self._casualties: dict[int, dict[int, Casualty]] = {}
        self._deaths_between_rows = Counter[int]()

    def casualties(self, task: int) -> Casualties:
        """Return the rows of a task that are given up."""
        return dict(self._casualties.get(task, {}))

    def place(self, sight: Sight) -> str:
        """Return where a worker was, in words."""
        return (
            "between rows" if sight.position is None else f"at row {sight.position} of its task, in {self._places[sight.place]}"
        )

    def died(self, task: int, sight: Sight, cause: str) -> bool:
        """Write down that a worker died at a task; return whether a row is given up for it.

        Raises MmdataError where workers die again and again between rows.
        """
        if sight.position is None:
            self._died_between_rows(task, cause)
            return False
        if (task, sight.position) not in self._suspects:
            self._suspects.add((task, sight.position))
            return False
        exhausted = Reject("error", "memory exhausted", "a worker took more than limits.memory allows")
        self._give_up(task, sight, exhausted if sight.exhausted else Reject("error", "worker process died", cause))
        return True

    def _died_between_rows(self, task: int, cause: str) -> None:
        self._deaths_between_rows[task] += 1
        if self._deaths_between_rows[task] >= MOST_TRIES:
            raise MmdataError(f"worker processes died {MOST_TRIES} times at the same task, between rows ({cause}); {_WHAT_TO_DO}")

    def hung(self, task: int, sight: Sight, seconds: float) -> None:
        """Write down that a row took longer than `seconds`."""
        self._give_up(task, sight, Reject("error", "took longer than limits.seconds", f"{seconds:g} seconds"))

    def _give_up(self, task: int, sight: Sight, reject: Reject) -> None:
        assert sight.position is not None
        self._casualties.setdefault(task, {})[sight.position] = Casualty(self._places[sight.place], reject)
