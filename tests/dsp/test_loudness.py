"""The loudness meter: it reads what the standard and another meter read."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from mmdata.dsp.loudness import gated_loudness, integrated_loudness, k_weighting
from tests.stages.sounds import sound


def modulated(rate: int, channels: int) -> NDArray[np.float32]:
    """Make what a meter finds hard: coloured noise that swells, falls silent and comes back, five seconds of it."""
    rng = np.random.default_rng(channels)
    noise = np.cumsum(rng.standard_normal((channels, 5 * rate)), axis=1)
    noise = noise - np.convolve(noise.mean(axis=0), np.ones(rate // 50) / (rate // 50), "same") + rng.standard_normal(noise.shape)
    envelope = np.interp(np.arange(5 * rate) / rate, [0, 1, 2, 2.2, 3, 3.5, 5], [0.1, 1.0, 0.3, 1e-4, 1e-4, 0.7, 0.01])
    swelling = noise * envelope
    return (0.5 * swelling / np.abs(swelling).max()).astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_meter_agrees_with_another_one(rate: int, channels: int) -> None:
    """Within 0.1 LU of pyloudnorm, at any rate, with one channel and two."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyloudnorm

        meter = pyloudnorm.Meter(rate, filter_class="DeMan")
        for samples in (modulated(rate, channels), sound(3.0, rate, channels)):
            expected = meter.integrated_loudness(samples.T.astype(np.float64))
            assert integrated_loudness(samples, rate) == pytest.approx(expected, abs=0.1)


def test_the_meter_reads_what_the_standard_says() -> None:
    """A full-scale sine of 997 Hz in one channel is -3.01 LUFS, and the filter is the one printed for 48 kHz."""
    sine = np.sin(2 * np.pi * 997 * np.arange(48000 * 3) / 48000).astype(np.float32)[None, :]
    assert integrated_loudness(sine, 48000) == pytest.approx(-3.01, abs=0.01)
    printed = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    assert np.abs(k_weighting(48000) - printed).max() < 1e-7


def test_the_meter_weighs_surrounds_and_leaves_out_the_effects() -> None:
    """Of six channels the fourth is not heard, the last two count 1.5 dB more."""
    one = sound(1.0, 48000, 1)
    levels = []
    for channel in (0, 3, 5):
        samples = np.zeros((6, 48000), np.float32)
        samples[channel] = one[0]
        levels.append(integrated_loudness(samples, 48000))
    assert levels[1] == -70.0
    assert levels[2] - levels[0] == pytest.approx(1.49, abs=0.01)


def test_quiet_passages_do_not_count() -> None:
    """Silence around a sound changes its loudness little: both gates keep it out."""
    samples = sound(2.0, 16000, 1)
    around = np.pad(samples, ((0, 0), (32000, 32000)))
    assert integrated_loudness(around, 16000) == pytest.approx(integrated_loudness(samples, 16000), abs=0.7)
    assert gated_loudness(np.array([1e-2, 1e-4])) == gated_loudness(np.array([1e-2]))
