"""What a recording is worth, in four numbers: signal-to-noise ratio, clipping, silence, and bandwidth.

None of them needs a clean reference. `docs/audio.md` says how far off they are on speech mixed with noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmdata.dsp.levels import frame_levels, hop_length, sounding

QUIETEST_SNR, LARGEST_SNR = -20.0, 100.0
"""The range of `noise_ratio` in dB; its ends also stand for a recording without sound, and for one without noise."""

_FRAME_SECONDS = 0.02
_QUIET_SHARE = 10.0  # per cent of the frames: the loudest of them is taken for noise alone
_SILENCE_POWER = 2.0**-32  # variance of a frame below half a step of 16 bits: digital silence, not noise
_FULL_SCALE = 0.999
_BAND_SECONDS = 0.032
_BAND_DB = -70.0  # under the strongest frequency; a good resampler to 16 bits leaves less above its old band
_BLOCK = 4096  # frames that are transformed at once: bounds the memory


def noise_ratio(samples: NDArray[np.float32], rate: int) -> float:
    """Return the estimated signal-to-noise ratio of [channels, samples] in dB, -20 to 100.

    The noise is taken to be as strong all through as in the quiet frames: its power is the 10th percentile of the powers of
    frames of 20 ms, and what the mean power has above it is the signal's. That is the idea of NIST's STNR, and holds for speech,
    or anything else with pauses, in steady noise; a sound without pauses is noise to it. Frames of digital silence do not
    count; -20 where there is nothing else.
    """
    width = max(1, round(_FRAME_SECONDS * rate))
    count = max(1, samples.shape[1] // width)
    frames = samples[:, : count * width].reshape(len(samples), count, -1)
    power = frames.var(axis=2, dtype=np.float64).mean(axis=0) if frames.size else np.zeros(0)
    audible = power[power > _SILENCE_POWER]
    if not len(audible):
        return QUIETEST_SNR
    ratio = float(audible.mean() / np.percentile(audible, _QUIET_SHARE)) - 1.0
    return min(max(10.0 * float(np.log10(max(ratio, 1e-9))), QUIETEST_SNR), LARGEST_SNR)


def clipped_share(samples: NDArray[np.float32]) -> float:
    """Return the share of samples of [channels, samples] that are at full scale, 0.999 and above: 0 to 1."""
    return float(np.count_nonzero(np.abs(samples) >= _FULL_SCALE) / samples.size) if samples.size else 0.0


def silent_share(samples: NDArray[np.float32], rate: int, threshold_db: float) -> float:
    """Return the share of frames of 20 ms that do not sound (see `mmdata.dsp.levels`): 0 to 1, 1 for a silent recording."""
    if not samples.size:
        return 1.0
    return 1.0 - float(sounding(frame_levels(samples, hop_length(rate)), threshold_db).mean())


def bandwidth(samples: NDArray[np.float32], rate: int) -> float:
    """Return the highest frequency in Hz whose mean power is less than 70 dB under that of the strongest; 0 of silence.

    A recording that was resampled from a lower rate ends at half of that rate, whatever its rate is now. Mean power over Hann
    windows of 32 ms with half overlap (Welch's method), summed over the channels of [channels, samples].
    """
    length = min(samples.shape[1], max(16, round(_BAND_SECONDS * rate)))
    if length < 2:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(samples, length, axis=1)[:, :: max(1, length // 2)]
    shape = np.hanning(length + 1)[:-1]
    power = np.zeros(length // 2 + 1)
    for start in range(0, windows.shape[1], _BLOCK):
        block = windows[:, start : start + _BLOCK].astype(np.float64)
        centred = block - block.mean(axis=2, keepdims=True)
        power += np.square(np.abs(np.fft.rfft(centred * shape, axis=2))).sum(axis=(0, 1))
    if power.max() <= 0.0:
        return 0.0
    carrying = np.flatnonzero(power >= power.max() * 10.0 ** (_BAND_DB / 10.0))
    return float(carrying[-1] * rate / length)
