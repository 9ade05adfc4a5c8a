"""Log-mel spectrograms as Whisper defines them: the one place for their numbers, shared by the build and the trainer.

Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, and its published code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
"""Hz; recordings of another rate must be resampled before."""
WINDOW = 400
HOP = 160
SMALLEST_POWER = 1e-10
RANGE = 8.0
"""Powers of ten below the loudest value of a recording: what is quieter is raised to it."""

_BLOCK = 4096  # frames that are transformed at once: bounds the memory


def log_mel(samples: NDArray[np.float32], bins: int) -> NDArray[np.float64]:
    """Return the frames of [samples] at 16 kHz, in [-1, 1]: float64 [bins, frames], about -1 to 2.

    Hann windows of 25 ms, one every 10 ms: frame t is centred on sample 160 t, and n samples give n / 160 frames, rounded up.
    The recording is mirrored before its start and followed by zeros: what Whisper sees of one that it pads to 30 seconds.
    """
    from scipy.sparse import csr_array

    edge = WINDOW // 2
    count = -(-len(samples) // HOP)
    if count == 0:
        return np.zeros((bins, 0))
    signal = np.pad(samples.astype(np.float64), (0, max(0, edge + 1 - len(samples))))
    mirrored = np.concatenate([signal[edge:0:-1], signal, np.zeros(WINDOW)])
    frames = np.lib.stride_tricks.sliding_window_view(mirrored, WINDOW)[::HOP][:count]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    # Sparse, because a filter spans a few bins, and because its sums have one order whatever the machine.
    filters = csr_array(mel_filters(bins).astype(np.float64))
    mel = np.empty((bins, count))
    for start in range(0, count, _BLOCK):
        block = slice(start, start + _BLOCK)
        mel[:, block] = filters @ np.square(np.abs(np.fft.rfft(frames[block] * window, axis=1))).T
    decades = np.log10(np.maximum(mel, SMALLEST_POWER))
    return np.asarray((np.maximum(decades, decades.max() - RANGE) + 4.0) / 4.0)


def mel_filters(bins: int) -> NDArray[np.float32]:
    """Return triangular filters of equal area, float32 [bins, 201], on Slaney's mel scale: librosa's default, and Whisper's.

    Source: M. Slaney, "Auditory Toolbox", 1998.
    """
    edges = _hertz(np.linspace(0.0, _mel(RATE / 2), bins + 2))
    frequencies = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)
    low, centre, high = (edges[start : start + bins, None] for start in range(3))
    triangles = np.minimum((frequencies - low) / (centre - low), (high - frequencies) / (high - centre))
    return np.asarray(np.maximum(triangles, 0.0) * (2.0 / (high - low)), dtype=np.float32)


_LINEAR_STEP = 200.0 / 3  # Hz a mel, up to 1 kHz
_LOG_START = 1000.0
_LOG_STEP = np.log(6.4) / 27  # above 1 kHz, 27 mels for a factor of 6.4


def _mel(hertz: float) -> float:
    return float(_LOG_START / _LINEAR_STEP + np.log(hertz / _LOG_START) / _LOG_STEP)  # 1 kHz and above


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _LOG_START * np.exp(_LOG_STEP * (mel - _LOG_START / _LINEAR_STEP))
    return np.where(mel < _LOG_START / _LINEAR_STEP, mel * _LINEAR_STEP, above)
