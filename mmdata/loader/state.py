"""The state of a loader: which dataset and order it is in, and the next step. A few numbers, saved and restored in no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from mmdata.errors import ConfigError
from mmdata.loader.options import Last
from mmdata.loader.schedule import Place

FORMAT = 1
"""Raise it whenever the order changes: an old state would then mean other records."""


@dataclass(frozen=True)
class Identity:
    """Everything that decides which records a step has. Ranks, threads and fields are not among it: they may change."""

    dataset: str
    split: str
    seed: int
    batch_size: int
    window: int
    shuffle: bool
    last: Last
    format: int = FORMAT

    def state(self, place: Place) -> dict[str, Any]:
        """Return the state whose next step is `place`, as plain data."""
        return {**asdict(self), "epoch": place.epoch, "step": place.step}

    def restored(self, state: Mapping[str, Any], steps: int) -> Place:
        """Return the next step of a state. Raises ConfigError, with every difference, for the state of another loader.

        `steps` is the number of steps of an epoch.
        """
        differences = [
            f"  {field.name}: {state.get(field.name)!r} in the state, {getattr(self, field.name)!r} here"
            for field in fields(self)
            if state.get(field.name) != getattr(self, field.name)
        ]
        if differences:
            raise ConfigError(
                "\n".join(["the state is of another loader; make one with the settings of the state:", *differences])
            )
        epoch, step = state.get("epoch"), state.get("step")
        if not (isinstance(epoch, int) and isinstance(step, int) and epoch >= 0 and 0 <= step < steps):
            raise ConfigError(f"the state is damaged: epoch {epoch!r}, step {step!r}, but an epoch has {steps} steps")
        return Place(epoch, step)
