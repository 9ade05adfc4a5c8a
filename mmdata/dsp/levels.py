"""How loud a recording is from moment to moment, and where it sounds: what trims, clips and the measure of silence share.

Frames are of 20 ms, one every 10 ms; their level is the root mean square without the constant offset, of the loudest channel.
Silence is what lies below a threshold relative to the loudest frame, as in `librosa.effects.trim`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

HOP_SECONDS = 0.01  # frames are of two hops
SILENCE_DB = -80.0
"""A recording whose loudest frame is below this level, in dBFS, has nothing to hear."""


def hop_length(rate: int) -> int:
    """Return the samples from one frame to the next at `rate` Hz, at least one."""
    return max(1, round(HOP_SECONDS * rate))


def frame_levels(samples: NDArray[np.float32], hop: int) -> NDArray[np.float64]:
    """Return the level of each frame of two hops in dBFS, float64 [frames], of the loudest channel of [channels, samples].

    Frame n begins at sample n * hop; the last one may be shorter. Digital silence is at minus infinity.
    """
    starts = np.arange(0, samples.shape[1], hop)
    counts = np.diff(starts, append=samples.shape[1])
    sums = np.add.reduceat(samples, starts, axis=1, dtype=np.float64)
    squares = np.add.reduceat(np.square(samples), starts, axis=1, dtype=np.float64)
    if len(starts) > 1:
        counts, sums, squares = counts[:-1] + counts[1:], sums[:, :-1] + sums[:, 1:], squares[:, :-1] + squares[:, 1:]
    power = (squares / counts - np.square(sums / counts)).max(axis=0, initial=0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(power))


def loudest_level(levels: NDArray[np.float64]) -> float:
    """Return the level of the loudest frame in dBFS; minus infinity where there is none."""
    return float(levels.max(initial=-math.inf))


def sounding(levels: NDArray[np.float64], threshold_db: float) -> NDArray[np.bool_]:
    """Return which frames sound, bool [frames]: those at `threshold_db` or more, relative to the loudest; none in silence."""
    loudest = loudest_level(levels)
    if loudest < SILENCE_DB:
        return np.zeros(len(levels), dtype=np.bool_)
    return np.asarray(levels >= loudest + threshold_db)
