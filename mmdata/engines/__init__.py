"""Engines decide where shard tasks run, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mmdata.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from mmdata.engines.base import Engine
    from mmdata.limits import Limits

OpenEngine = Callable[[int | None, Path, "Limits"], AbstractContextManager["Engine"]]
"""Opens an engine of so many workers (None: as many as there are CPUs) that works in a folder and holds rows to limits."""

ENGINES = ("local", "ray")


def engine_named(name: str) -> OpenEngine:
    """Return what opens the engine of this name. Raises ConfigError, or MissingExtraError where it is not installed."""
    if name == "local":
        from mmdata.engines.local import LocalEngine

        return LocalEngine
    if name == "ray":
        if find_spec("ray") is None:
            raise MissingExtraError("ray", "the engine 'ray'")
        from mmdata.engines.ray import RayEngine

        return RayEngine
    raise ConfigError(f"engine {name!r} is not known; the engines are {', '.join(ENGINES)}")
