"""The checkpoint of a training run: everything that the next step depends on, in one file that is never seen incomplete."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import ValidationError

from mmdata.errors import ConfigError
from mmdata.files import publishing
from mmdata.train.config import TrainConfig
from mmdata.train.layout import Layout

CHECKPOINT = "checkpoint.pt"
FORMAT = 1
"""Raise it when a checkpoint of before would mean something else."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after `step` steps. `model`, `losses` and `optimizer` are state dictionaries, `loader` that of the loader.

    There is no state of random numbers: those of a step are a function of the seed and the step.
    """

    config: TrainConfig
    layout: Layout
    dataset: str
    step: int
    loader: dict[str, Any]
    model: dict[str, Any]
    losses: dict[str, Any]
    optimizer: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write the checkpoint in place of the one before, which stays whole until the new one is."""
        content = {**self.__dict__, "config": self.config.model_dump(mode="json"), "layout": self.layout.to_json()}
        with publishing(path) as file:
            torch.save({"format": FORMAT, **content}, file)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a checkpoint; nothing in it is executed. Raises ConfigError where it is missing, damaged or of another format."""
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError as error:
            raise ConfigError(f"{path.parent}: there is no {path.name}: is this the folder of a training run?") from error
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise ConfigError(f"{path}: cannot be read ({_first_line(error)}); remove it to begin anew") from error
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ConfigError(f"{path}: no checkpoint of format {FORMAT}; remove it to begin anew")
        try:
            config, layout = TrainConfig.model_validate(content.pop("config")), Layout.from_json(content.pop("layout"))
            return cls(config, layout, **content)
        except (ValidationError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: not as this version writes it ({_first_line(error)}); remove it to begin anew") from error

    def check(self, config: TrainConfig, layout: Layout, dataset: str, path: Path) -> None:
        """Raise ConfigError, with every difference, where a run with these settings cannot go on from here."""
        differences = _differences(self.config.model_dump(mode="json"), config.model_dump(mode="json"))
        if differences:
            found = "\n".join(differences)
            raise ConfigError(f"{path}: this run has other settings; take those again, or another folder:\n{found}")
        if (self.dataset, self.layout) != (dataset, layout):
            raise ConfigError(
                f"{path}: this run was on another dataset (checksum {self.dataset[:12]}, here {dataset[:12]}); "
                "take that one again, or another folder"
            )


def _differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    lines = []
    for name in before.keys() | now.keys():
        one, other = before.get(name), now.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            lines += _differences(one, other, f"{prefix}{name}.")
        elif one != other:
            lines.append(f"  {prefix}{name}: {one!r} in the run, {other!r} now")
    return sorted(lines)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
