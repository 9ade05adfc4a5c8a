"""The settings of a loader: what does not change the batches of a step, and the few options that do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from mmdata.errors import ConfigError
from mmdata.loader.batching import Bucket
from mmdata.loader.cache import Cache
from mmdata.loader.views import View

Last = Literal["drop", "pad"]
Resize = Literal["device", "threads"]
Decode = Literal["device", "threads"]


@dataclass(frozen=True)
class LoaderOptions:
    """How a loader orders, reads and cuts records. Raises ConfigError for a value out of its range.

    Attributes:
        shuffle: whether every epoch has an order of its own; without it, records come as they stand in the shards.
        window: how many shards are mixed and read at a time, at least 1.
        last: what becomes of the records at the end of an epoch that fill no batch: "drop" leaves them out of this epoch, "pad"
            fills the batch with records that the epoch has had and marks them in `Batch.padding`.
        bucket: brings records of similar size into the same batches; None leaves them as they come.
        cache: where the shards of datasets elsewhere (`s3://`, `http://`, `gs://`, …) are kept; needed for those alone.
        fields: only these fields are read and decoded; None means all.
        views: by field, the form in which it enters the batch; those without one come as they are stored.
        max_seconds: recordings are cut to this length, in seconds.
        max_tokens: token ids are cut to this many.
        threads: threads that read and decode; None means the cores that this process may use, divided among the ranks of the
            machine, at most 16.
        resize: where pictures of a view get their size when the batch goes to a GPU: on that "device" in whole batches, or in the
            "threads" that decode them, as for a batch on the CPU.
        decode: where JPEG files of fields with a view are decoded when the batch goes to a GPU: in the "threads", or on that
            "device" with nvJPEG, where torchcodec or torchvision bring it. Then files cross the bus, and cores have little to do.
        prefetch: batches that are prepared ahead of the one that was handed out, at least 0.
    """

    shuffle: bool = True
    window: int = 8
    last: Last = "drop"
    bucket: Bucket | None = None
    cache: Cache | None = None
    fields: tuple[str, ...] | None = None
    views: Mapping[str, View] = field(default_factory=dict)
    max_seconds: float | None = None
    max_tokens: int | None = None
    threads: int | None = None
    resize: Resize = "device"
    decode: Decode = "threads"
    prefetch: int = 2

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("max_tokens", 1), ("threads", 1), ("prefetch", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is at least {least}, not {value}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ConfigError(f"max_seconds is above 0, not {self.max_seconds}")
        if self.last not in ("drop", "pad"):
            raise ConfigError(f"last is 'drop' or 'pad', not {self.last!r}")
        for name, where in (("resize", self.resize), ("decode", self.decode)):
            if where not in ("device", "threads"):
                raise ConfigError(f"{name} is 'device' or 'threads', not {where!r}")
        if (self.decode, self.resize) == ("device", "threads"):
            raise ConfigError("pictures that the device decodes cannot be resized in threads: set resize='device' too")

    def thread_count(self, environment: Mapping[str, str]) -> int:
        """Return how many threads decode; `environment` tells the ranks of this machine (LOCAL_WORLD_SIZE, of torchrun)."""
        if self.threads is not None:
            return self.threads
        ranks_here = _whole_number(environment, "LOCAL_WORLD_SIZE") or 1
        return max(1, min(16, _cores() // ranks_here))


def _cores() -> int:
    """Return the cores that this process may use; macOS and Windows only know those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Ranks:
    """Which one of how many processes this is: 0 <= rank < world_size. Raises ConfigError for anything else."""

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank {self.rank} does not fit world_size {self.world_size}: ranks go from 0 to world_size - 1")

    @classmethod
    def of(cls, rank: int | None, world_size: int | None, environment: Mapping[str, str]) -> Self:
        """Return the ranks as given; where neither is, what torchrun says (RANK, WORLD_SIZE), else the one process there is."""
        names = "rank and world_size"
        if rank is None and world_size is None:
            names = "the environment variables RANK and WORLD_SIZE"
            rank, world_size = _whole_number(environment, "RANK"), _whole_number(environment, "WORLD_SIZE")
            if rank is None and world_size is None:
                return cls()
        if rank is None or world_size is None:
            raise ConfigError(f"{names} belong together; only one of them is given")
        return cls(rank, world_size)


def _whole_number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name)
    if text is not None and not text.isdecimal():
        raise ConfigError(f"the environment variable {name} must be a whole number, not {text!r}")
    return None if text is None else int(text)
