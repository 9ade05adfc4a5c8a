"""Log-mel spectrograms of a batch of recordings, as Whisper defines them, on the device where the samples are.

Source: A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022, and its published code.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

RATE = 16_000
"""Hz; recordings of another rate must be resampled before, in the build."""
WINDOW = 400
HOP = 160
MEL_BINS = 80

_SMALLEST_POWER = 1e-10
_RANGE = 8.0  # powers of ten below the loudest value of a recording


class LogMel(nn.Module):
    """Samples to log-mel frames: Hann windows of 25 ms every 10 ms, 80 bins from 0 to 8 kHz.

    Frame t is centred on sample 160 t. Padding changes nothing: the end of a recording is followed by zeros in any batch, and
    the loudest value, to which the range is cut, is looked for inside each recording alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.window: Tensor
        self.filters: Tensor
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters()), persistent=False)

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames float32 [batch, 80, frames], about -1 to 2 and zero in the padding, and their number int64 [batch].

        `samples` is float32 [batch, samples] in [-1, 1], zero after each recording's length; `lengths` int64 [batch].
        """
        edge = WINDOW // 2
        samples = functional.pad(samples, (0, max(0, edge + 1 - samples.shape[1])))
        # Mirrored at the start and zero at the end: what Whisper sees of a recording that it pads to 30 seconds.
        mirrored = samples[:, 1 : edge + 1].flip(1)
        padded = functional.pad(torch.cat([mirrored, samples], dim=1), (0, edge))
        spectrum = torch.stft(padded, WINDOW, HOP, window=self.window, center=False, return_complex=True)
        count = -(-lengths // HOP)
        spectrum = spectrum[:, :, : -(-samples.shape[1] // HOP)]
        decades = (self.filters @ (spectrum.real.square() + spectrum.imag.square())).clamp_min(_SMALLEST_POWER).log10()
        inside = (torch.arange(decades.shape[2], device=count.device) < count[:, None])[:, None]
        loudest = decades.masked_fill(~inside, -torch.inf).amax(dim=(1, 2), keepdim=True)
        return ((torch.maximum(decades, loudest - _RANGE) + 4) / 4).masked_fill(~inside, 0.0), count


def mel_filters() -> NDArray[np.float32]:
    """Return triangular filters of equal area, [80, 201], on Slaney's mel scale: the default of librosa, and Whisper's.

    Source: M. Slaney, "Auditory Toolbox", 1998.
    """
    edges = _hertz(np.linspace(0.0, _mel(RATE / 2), MEL_BINS + 2))
    frequencies = np.linspace(0.0, RATE / 2, WINDOW // 2 + 1)
    low, centre, high = (edges[start : start + MEL_BINS, None] for start in range(3))
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
