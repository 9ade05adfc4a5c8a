"""The fingerprint of a sound: 32 bits for each moment, most of which survive encoding, level and a shift in time.

J. Haitsma and T. Kalker, "A highly robust audio fingerprinting system", ISMIR 2002.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 5512  # Hz
_FRAME, _HOP = 2048, 128  # samples at this rate: 0.37 s, every 23 ms
LEAST_FRAMES = 16
_LOWEST, _HIGHEST, _BANDS = 300.0, 2000.0, 33
_QUIET_DB = -40.0
_STORED = 64
_OFFSETS = 8
_OVERLAP = 0.75


def fingerprint(samples: NDArray[np.float32], rate: int) -> NDArray[np.uint32]:
    """Return the sub-fingerprints of samples float32 [channels, samples], uint32 [n], one each 23 ms.

    Frames of 0.37 s have their energy taken in 33 bands from 300 to 2000 Hz, evenly spaced on a log scale; a bit says whether the
    difference of neighbouring bands grew since the frame before. What is quiet at both ends (40 dB below the loudest frame) is
    left out. A sound without two frames gives none.
    """
    energies = _energies(_low_rate(samples, rate))
    loudness = energies.sum(axis=1)
    loud = np.flatnonzero(loudness > loudness.max(initial=0.0) * 10 ** (_QUIET_DB / 10))
    if len(loud) < 2:
        return np.zeros(0, np.uint32)
    differences = np.diff(energies[loud[0] : loud[-1] + 1], axis=1)
    bits = np.diff(differences, axis=0) < 0
    return np.packbits(bits, axis=1).view(">u4").astype(np.uint32).ravel()


def _low_rate(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    import soxr

    mono = samples.mean(axis=0)
    # Half a frame of silence on both sides, so that the frames at the ends see the whole sound.
    return np.pad(np.asarray(soxr.resample(mono, rate, RATE), np.float32), _FRAME // 2)


def _energies(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the energy of each frame in each band, float64 [frames, 33]."""
    if len(samples) < _FRAME:
        return np.zeros((0, _BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    edges = np.geomspace(_LOWEST, _HIGHEST, _BANDS + 1) * _FRAME / RATE
    starts = np.round(edges).astype(int)
    window = np.hanning(_FRAME)
    found = []
    for first in range(0, len(frames), 256):
        power = np.square(np.abs(np.fft.rfft(frames[first : first + 256] * window, axis=1)))
        found.append(np.add.reduceat(power[:, : starts[-1]], starts[:-1], axis=1))
    return np.concatenate(found)


def keys(found: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return the different sub-fingerprints, uint64 [n], without the two that silence gives."""
    different = np.unique(found)
    return np.asarray(different[(different != 0) & (different != 0xFFFFFFFF)], np.uint64)


def stored_keys(found: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return at most 64 of the sub-fingerprints, evenly spaced in time; of a copy's `keys` some are among them."""
    places = np.linspace(0, len(found) - 1, min(_STORED, len(found))).astype(int)
    return keys(found[places])


def error_rate(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """Return the share of bits that differ, 0 to 1, where the two fingerprints lie over each other at their best.

    Tried are the shifts at which most sub-fingerprints agree. 1 where there is none at which three quarters of the longer one
    are covered.
    """
    _, here, there = np.intersect1d(one, other, return_indices=True)
    shifts, counts = np.unique(there - here, return_counts=True)
    best = shifts[np.argsort(-counts, kind="stable")[:_OFFSETS]]
    return min((_error_rate_at(one, other, int(shift)) for shift in best), default=1.0)


def _error_rate_at(one: NDArray[np.uint32], other: NDArray[np.uint32], shift: int) -> float:
    """Return the share of bits that differ between `one[place]` and `other[place + shift]`."""
    start, end = max(0, -shift), min(len(one), len(other) - shift)
    if end - start < _OVERLAP * max(len(one), len(other)):
        return 1.0
    wrong = np.bitwise_count(one[start:end] ^ other[start + shift : end + shift])
    return float(wrong.sum()) / (32 * (end - start))
