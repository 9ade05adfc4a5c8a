"""Log-mel spectrograms of a batch of recordings, as Whisper defines them, on the device where the samples are.

The numbers and the filters are those of `mmdata.dsp.mel`, which makes the same spectrograms in a build.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdata.dsp.mel import HOP, RANGE, SMALLEST_POWER, WINDOW, mel_filters

MEL_BINS = 80


class LogMel(nn.Module):
    """Samples to log-mel frames: Hann windows of 25 ms every 10 ms, `bins` bins from 0 to 8 kHz.

    Frame t is centred on sample 160 t. Padding changes nothing: the end of a recording is followed by zeros in any batch, and
    the loudest value, to which the range is cut, is looked for inside each recording alone.
    """

    def __init__(self, bins: int = MEL_BINS) -> None:
        super().__init__()
        self.window: Tensor
        self.filters: Tensor
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters(bins)), persistent=False)

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames float32 [batch, bins, frames], about -1 to 2 and zero in the padding, and their number int64 [batch].

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
        decades = (self.filters @ (spectrum.real.square() + spectrum.imag.square())).clamp_min(SMALLEST_POWER).log10()
        inside = (torch.arange(decades.shape[2], device=count.device) < count[:, None])[:, None]
        loudest = decades.masked_fill(~inside, -torch.inf).amax(dim=(1, 2), keepdim=True)
        return ((torch.maximum(decades, loudest - RANGE) + 4) / 4).masked_fill(~inside, 0.0), count
