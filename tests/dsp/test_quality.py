"""The four numbers that say what a recording is worth, on recordings whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from mmdata.dsp.levels import sounding
from mmdata.dsp.quality import bandwidth, clipped_share, noise_ratio, silent_share
from tests.dsp.test_spectral_gate import noise, speech_like


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("snr", [0.0, 5.0, 10.0, 15.0, 20.0, 30.0])
def test_the_ratio_is_that_of_the_mixture(rate: int, snr: float) -> None:
    """Speech in white noise at a known ratio: off by less than 1.5 dB."""
    clean = speech_like(6.0, rate)
    assert noise_ratio(clean + noise(clean, snr), rate) == pytest.approx(snr, abs=1.5)


def test_the_ratio_depends_on_neither_level_nor_offset_nor_digital_silence() -> None:
    """A quieter copy, one with a constant offset, and one with zeros around it have the same ratio."""
    clean = speech_like(4.0, 16000)
    mixed = clean + noise(clean, 15.0)
    expected = noise_ratio(mixed, 16000)
    assert noise_ratio(mixed * np.float32(0.1), 16000) == pytest.approx(expected, abs=0.01)
    assert noise_ratio(mixed + np.float32(0.1), 16000) == pytest.approx(expected, abs=0.01)
    assert noise_ratio(np.pad(mixed, ((0, 0), (16000, 16000))), 16000) == pytest.approx(expected, abs=0.1)
    assert noise_ratio(np.concatenate([mixed, mixed]), 16000) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("length", [0, 1, 100, 320, 16000])
def test_silence_and_steady_sound_have_the_lowest_ratio(length: int) -> None:
    """There is nothing, or nothing but noise."""
    assert noise_ratio(np.zeros((2, length), np.float32), 16000) == -20.0
    assert -20.0 <= noise_ratio(np.random.default_rng(0).standard_normal((1, length)).astype(np.float32), 16000) < 0.0


def test_samples_at_full_scale_are_clipped() -> None:
    """Of both signs, and beyond; a peak below is none."""
    samples = np.array([[0.0, 1.0, -1.0, 0.998], [1.5, 0.9995, -0.5, 0.1]], np.float32)
    assert clipped_share(samples) == 0.5
    assert clipped_share(np.zeros((1, 0), np.float32)) == 0.0
    tone = np.sin(np.arange(16000) / 10)[None].astype(np.float32)
    assert clipped_share(np.clip(2 * tone, -1, 1)) == pytest.approx(2 / 3, abs=0.01)


def test_silence_is_what_lies_under_the_threshold() -> None:
    """A second of tone between two of hiss; a recording of hiss that is too faint, or of nothing, is all silent."""
    hiss = 1e-4 * np.random.default_rng(0).standard_normal((1, 48000))
    tone = 0.3 * np.sin(np.arange(16000) / 5)
    mixed = hiss + np.pad(tone, 16000)
    assert silent_share(mixed.astype(np.float32), 16000, -40.0) == pytest.approx(2 / 3, abs=0.01)
    assert silent_share(mixed.astype(np.float32), 16000, -100.0) == 0.0
    assert silent_share(np.zeros((1, 16000), np.float32), 16000, -40.0) == 1.0
    assert silent_share(np.zeros((1, 0), np.float32), 16000, -40.0) == 1.0
    assert not sounding(np.full(3, -90.0), -40.0).any()


def rounded(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to 16 bits, as a file does."""
    return np.rint(samples * np.float32(32768)) / np.float32(32768)


@pytest.mark.parametrize(("old", "new"), [(8000, 16000), (16000, 44100), (22050, 48000)])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_recording_that_was_at_a_lower_rate_ends_at_half_of_it(old: int, new: int, channels: int) -> None:
    """White noise, resampled and stored in 16 bits; at its own rate it fills the band."""
    white = (0.1 * np.random.default_rng(0).standard_normal((channels, 2 * old))).astype(np.float32)
    upsampled = np.stack([soxr.resample(channel, old, new) for channel in white])
    assert bandwidth(rounded(white), old) > 0.49 * old
    assert 0.45 * old < bandwidth(rounded(upsampled), new) < 0.52 * old


def test_the_bandwidth_of_a_tone_is_its_frequency() -> None:
    """To the width of a window; silence, an offset and next to nothing have none."""
    tone = rounded(0.3 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000, dtype=np.float32)[None])
    assert 1000 <= bandwidth(tone, 16000) <= 1300
    assert bandwidth(np.zeros((1, 16000), np.float32), 16000) == 0.0
    assert bandwidth(np.zeros((1, 1), np.float32), 16000) == 0.0
    assert bandwidth(np.zeros((1, 0), np.float32), 16000) == 0.0
    assert 0.0 <= bandwidth(tone[:, :7], 16000) <= 8000
