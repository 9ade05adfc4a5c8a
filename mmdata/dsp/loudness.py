"""Integrated loudness after ITU-R BS.1770-4 and EBU R 128: K-weighting, blocks of 400 ms, an absolute and a relative gate."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SILENCE = -70.0
"""The absolute gate in LUFS: what is quieter does not count."""

_OFFSET = -0.691  # makes a full-scale sine of 997 Hz in one channel read -3.01 LUFS
_RELATIVE_GATE = -10.0
_STEP_SECONDS = 0.1
_STEPS_A_BLOCK = 4
_SURROUND_WEIGHTS = {5: (1.0, 1.0, 1.0, 1.41, 1.41), 6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41)}


def integrated_loudness(samples: NDArray[np.float32], rate: int) -> float:
    """Return the integrated loudness of float32 [channels, samples] at `rate` Hz, in LUFS; -70 for silence.

    A recording shorter than 400 ms is one block. Channels count alike; of 5 or 6 (left, right, centre, low-frequency effects
    where there are 6, two surrounds) the surrounds count 1.5 dB more, the effects not at all.
    """
    return gated_loudness(block_powers(samples, rate))


def block_powers(samples: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Return the K-weighted power of each block of 400 ms, a block every 100 ms: float64 [blocks], summed over channels."""
    from scipy.signal import sosfilt

    channels, length = samples.shape
    weights = np.array(_SURROUND_WEIGHTS.get(channels, (1.0,) * channels))
    power = weights @ np.square(sosfilt(k_weighting(rate), samples, axis=1))
    steps = math.floor(length / (_STEP_SECONDS * rate))
    if steps < _STEPS_A_BLOCK:
        return np.array([power.mean()])
    edges = np.round(np.arange(steps + 1) * (_STEP_SECONDS * rate)).astype(np.intp)
    sums = np.add.reduceat(power[: edges[-1]], edges[:-1])
    blocks: NDArray[np.float64] = np.convolve(sums, np.ones(_STEPS_A_BLOCK), "valid")
    return blocks / (edges[_STEPS_A_BLOCK:] - edges[:-_STEPS_A_BLOCK])


def gated_loudness(powers: NDArray[np.float64]) -> float:
    """Return the loudness in LUFS of the blocks that pass both gates; -70 where none does."""
    audible = powers[powers > _power(SILENCE)]
    if not len(audible):
        return SILENCE
    gate = _power(_loudness(float(audible.mean())) + _RELATIVE_GATE)
    return _loudness(float(audible[audible > gate].mean()))


def k_weighting(rate: int) -> NDArray[np.float64]:
    """Return the K-weighting filter at `rate` Hz as two second-order sections, float64 [2, 6].

    A high shelf for the head, then a high pass. The standard gives coefficients for 48 kHz alone; the analogue filters behind
    them are those that libebur128 recovered, brought to any rate by the bilinear transform. At 48 kHz they are the standard's.
    """
    shelf, high_pass = 1681.974450955533, 38.13547087602444
    gain, quality = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    # The shelf of 1.68 kHz has no place below half of a very low rate; there it is held just under it.
    k = math.tan(math.pi * min(shelf / rate, 0.49))
    middle = gain**0.4996667741545416
    numerator = [gain + middle * k / quality + k * k, 2 * (k * k - gain), gain - middle * k / quality + k * k]
    first = _section(numerator, k, quality)
    k = math.tan(math.pi * min(high_pass / rate, 0.49))
    second = _section([1.0, -2.0, 1.0], k, 0.5003270373238773)
    second[:3] = [1.0, -2.0, 1.0]  # the standard leaves this gain out
    return np.array([first, second])


def _section(numerator: list[float], k: float, quality: float) -> list[float]:
    """Return a second-order section over the poles of a corner at tan(pi f / rate) = `k`."""
    scale = 1.0 + k / quality + k * k
    poles = [1.0, 2.0 * (k * k - 1.0) / scale, (1.0 - k / quality + k * k) / scale]
    return [*(coefficient / scale for coefficient in numerator), *poles]


def _loudness(power: float) -> float:
    return _OFFSET + 10.0 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10.0 ** ((loudness - _OFFSET) / 10.0))
