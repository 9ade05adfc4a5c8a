"""What a loader measures of itself: how long it was waited for, and how fast each of its stages is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import Literal

Stage = Literal["read", "decode", "collate", "copy"]
STAGES: tuple[Stage, ...] = ("read", "decode", "collate", "copy")


@dataclass(frozen=True)
class StageStats:
    """The work of one stage: records, bytes that came out of it, and seconds, summed over its threads.

    `read` fetches payloads and checks them, `decode` makes arrays of them, `collate` makes the batch, `copy` brings it to the
    device and into its last form.
    """

    records: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def records_per_second(self) -> float:
        """Records that one thread of this stage does in a second; 0 where it did nothing yet."""
        return self.records / self.seconds if self.seconds else 0.0

    def plus(self, records: int, bytes_: int, seconds: float) -> StageStats:
        """Return the sum of this and more work."""
        return StageStats(self.records + records, self.bytes + bytes_, self.seconds + seconds)


@dataclass(frozen=True)
class LoaderStats:
    """What happened since the loader was asked for its first batch.

    `seconds` is the time since then, `waited` the part of it in which the consumer waited for a batch, and `ready` how many
    batches lay ready when one was asked for, on average. Work that was done ahead counts with its stage. `padding` is, by field
    that may be padded, the share of its tokens, pixels or samples that are there only to fill the batch.
    """

    batches: int
    seconds: float
    waited: float
    ready: float
    stages: Mapping[Stage, StageStats]
    padding: Mapping[str, float]

    @property
    def waiting(self) -> float:
        """The share of the time in which the consumer waited, from 0 to 1."""
        return min(1.0, self.waited / self.seconds) if self.seconds else 0.0


@dataclass
class Meter:
    """Adds up the work of all threads of a loader."""

    _stages: dict[Stage, StageStats] = field(default_factory=lambda: dict.fromkeys(STAGES, StageStats()))
    _lock: Lock = field(default_factory=Lock)
    _begin: float | None = None
    _batches: int = 0
    _waited: float = 0.0
    _ready: int = 0
    _filled: dict[str, tuple[int, int]] = field(default_factory=dict)

    def begin(self) -> float:
        """Return the time at which a batch is asked for."""
        now = perf_counter()
        self._begin = now if self._begin is None else self._begin
        return now

    def received(self, asked: float) -> None:
        """Enter that the batch asked for at this time has come."""
        self._waited += perf_counter() - asked
        self._batches += 1

    def ready(self, batches: int) -> None:
        """Enter how many batches lay ready when one was asked for."""
        self._ready += batches

    def add(self, stage: Stage, records: int, bytes_: int, seconds: float) -> None:
        """Enter work of a stage."""
        with self._lock:
            self._stages[stage] = self._stages[stage].plus(records, bytes_, seconds)

    def fill(self, filled: Mapping[str, tuple[int, int]]) -> None:
        """Enter, by field of a batch, how many elements are of records, and how many there are in all."""
        for name, (used, held) in filled.items():
            before = self._filled.get(name, (0, 0))
            self._filled[name] = before[0] + used, before[1] + held

    def stats(self) -> LoaderStats:
        """Return what was entered until now."""
        seconds = 0.0 if self._begin is None else perf_counter() - self._begin
        with self._lock:
            stages = dict(self._stages)
        padding = {name: 1 - used / held for name, (used, held) in list(self._filled.items()) if held}
        return LoaderStats(self._batches, seconds, self._waited, self._ready / max(1, self._batches), stages, padding)
