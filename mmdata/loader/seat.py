"""The seats: what the decoding of rows of a batch needs to know beside the records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[np.uint8]]
"""Arrays uint8 [batch, height, width, 3] by field, allocated before anything is decoded: pictures are written into their row."""


@dataclass(frozen=True, slots=True)
class Seats:
    """The rows of a batch of an epoch; `columns` are those that wait for their values.

    `seed` and `epoch` decide, together with the key of a record, what is drawn at random.
    """

    seed: int = 0
    epoch: int = 0
    columns: Columns = field(default_factory=dict)
