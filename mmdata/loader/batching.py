"""How batches are cut, as settings: by count, within a budget, packed, and with records of similar size together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import lcm
from typing import Any, Literal, get_args

from mmdata.errors import ConfigError

SizeName = Literal["tokens", "patches", "frames"]
SIZES: tuple[SizeName, ...] = get_args(SizeName)
"""What is counted of a record, in the order of the columns of all arrays of sizes."""

BucketBy = Literal["tokens", "patches", "frames", "total"]
LIMITS = (*SIZES, "total", "records")
"""What a budget may limit."""


@dataclass(frozen=True)
class Units:
    """In what pictures and recordings are counted: squares of `patch` pixels, and frames of `hop` seconds.

    A patch or frame that is begun counts. A clip has the patches of each of its pictures. Raises ConfigError for values not
    above 0.
    """

    patch: int = 16
    hop: float = 0.01

    def __post_init__(self) -> None:
        if self.patch < 1 or not self.hop > 0:
            raise ConfigError(f"a patch is at least 1 pixel and a hop more than 0 seconds, not {self.patch} and {self.hop}")


DEFAULT_UNITS = Units()


@dataclass(frozen=True)
class Budget:
    """What the batches of a step may hold at most, on all ranks together; a limit that is None does not count.

    Padding counts, since it takes memory and time like anything else: a step of n records holds n times the size of its largest
    one. A rank gets its equal part, so it holds at most the limit divided by the world size.

    Attributes:
        tokens: text tokens.
        patches: image patches.
        frames: audio frames.
        total: tokens, patches and frames together.
        records: records.
        world_sizes: the numbers of ranks that this run may have, now or when it is taken up again. Steps are the same for all.
        units: what a patch and a frame are.
    """

    tokens: int | None = None
    patches: int | None = None
    frames: int | None = None
    total: int | None = None
    records: int | None = None
    world_sizes: tuple[int, ...] = (1,)
    units: Units = DEFAULT_UNITS

    def __post_init__(self) -> None:
        limits = {name: getattr(self, name) for name in LIMITS}
        if all(limit is None for limit in limits.values()):
            raise ConfigError(f"a budget needs a limit: {', '.join(limits)}")
        for name, limit in limits.items():
            if limit is not None and limit < 1:
                raise ConfigError(f"the budget of {name} is at least 1, not {limit}")
        if not self.world_sizes or min(self.world_sizes) < 1:
            raise ConfigError(f"world_sizes are numbers of ranks from 1 on, not {list(self.world_sizes)}")

    def to_json(self) -> dict[str, Any]:
        """Return plain data, the same for budgets that make the same steps."""
        return {**asdict(self), "world_sizes": lcm(*self.world_sizes)}


@dataclass(frozen=True)
class Packing:
    """Steps of `rows` rows of `length` tokens, on all ranks together; `rows` is a multiple of the world size.

    A row holds the sequences of one or more whole records. `field` names the token field; None is the only one that there is.
    The other fields of the batch have a row for each record, as always.
    """

    rows: int
    length: int
    field: str | None = None

    def __post_init__(self) -> None:
        if self.rows < 1 or self.length < 1:
            raise ConfigError(f"rows and length are at least 1, not {self.rows} and {self.length}")

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Bucket:
    """How records of similar size are brought together.

    Attributes:
        by: what is compared: text tokens, image patches, audio frames, or all together.
        span: positions that are sorted together; rounded up to whole runs. A larger one leaves less padding.
        run: positions of a run; None is the batch size, where that is a count of records, else 256.
        units: what a patch and a frame are.
    """

    by: BucketBy = "total"
    span: int = 8192
    run: int | None = None
    units: Units = DEFAULT_UNITS

    def __post_init__(self) -> None:
        if self.by not in get_args(BucketBy):
            raise ConfigError(f"by is one of {', '.join(get_args(BucketBy))}, not {self.by!r}")
        if self.span < 1 or (self.run is not None and self.run < 1):
            raise ConfigError(f"span and run are at least 1, not {self.span} and {self.run}")

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


BatchSize = int | Budget | Packing
"""What makes a step of all ranks together: so many records, all that a budget allows, or so many packed rows."""
