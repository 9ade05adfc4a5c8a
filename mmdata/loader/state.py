"""The state of a loader: which dataset and order it is in, and the next step. A few numbers, saved and restored in no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mmdata.errors import ConfigError
from mmdata.loader.schedule import Place, Schedule

FORMAT = 2
"""Raise it whenever the order changes: an old state would then mean other records."""


@dataclass(frozen=True)
class Identity:
    """Everything that decides which records a step has; `settings` are those of `settings_of`. Ranks and threads may change."""

    dataset: str
    split: str
    seed: int
    settings: Mapping[str, Any]
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        head = {"format": self.format, "dataset": self.dataset, "split": self.split, "seed": self.seed}
        return {**head, **self.settings}

    def state(self, place: Place, order: str) -> dict[str, Any]:
        """Return the state whose next step is `place`, as plain data; `order` is the digest of its epoch's order."""
        return {**self.to_json(), "order": order, **asdict(place)}

    def restored(self, state: Mapping[str, Any], schedule: Schedule) -> Place:
        """Return the next step of a state. Raises ConfigError, with every difference, for the state of another loader."""
        self._refuse([(name, state.get(name), here) for name, here in self.to_json().items()])
        place = _place(state)
        if place is None or not schedule.has(place):
            found = ", ".join(f"{field.name} {state.get(field.name)!r}" for field in fields(Place))
            raise ConfigError(f"the state is damaged: there is no step at {found}; take another checkpoint")
        self._refuse([("order", state.get("order"), schedule.order.digest(place.epoch))])
        return place

    def _refuse(self, compared: list[tuple[str, Any, Any]]) -> None:
        different = [f"  {name}: {held!r} in the state, {here!r} here" for name, held, here in compared if held != here]
        if different:
            raise ConfigError("\n".join(["the state is of another loader; make one with the settings of the state:", *different]))


def _place(state: Mapping[str, Any]) -> Place | None:
    """Return the place in a state, None where it is none."""
    numbers = [number for field in fields(Place) if type(number := state.get(field.name)) is int]
    return Place(*numbers) if len(numbers) == len(fields(Place)) else None
