"""The seat: what the decoding of one row of a batch needs to know beside the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmdata.loader.stats import Tally

Columns = Mapping[str, NDArray[np.uint8]]
"""Arrays [batch, …] by field, allocated before anything is decoded: what is decoded is written into its row."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A row of a batch of an epoch: `columns` are those that wait for its values, `tally` counts the work that it takes.

    `seed` and `epoch` decide, together with the key of the record, what is drawn at random.
    """

    seed: int = 0
    epoch: int = 0
    row: int = 0
    columns: Columns = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
