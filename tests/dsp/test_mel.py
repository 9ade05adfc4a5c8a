"""Log-mel spectrograms of a build: Whisper's, to the last digit that matters."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from mmdata.dsp.mel import _BLOCK, HOP, RATE, WINDOW, log_mel, mel_filters
from mmdata.rng import rng_for


def recording(samples: int) -> NDArray[np.float32]:
    """Make a tone in faint noise at 16 kHz, [samples]."""
    noise = rng_for(0, "recording", samples).standard_normal(samples)
    return (0.2 * np.sin(2 * np.pi * 440 * np.arange(samples) / RATE) + 0.01 * noise).astype(np.float32)


def whisper(samples: NDArray[np.float32], filters: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute what Whisper does, frame by frame, of a recording that is padded to 30 seconds; only its own frames."""
    padded = np.pad(np.pad(samples.astype(np.float64), (0, 30 * RATE - len(samples))), WINDOW // 2, mode="reflect")
    window = np.hanning(WINDOW + 1)[:-1]
    count = -(-len(samples) // HOP)
    frames = np.stack([np.abs(np.fft.rfft(window * padded[HOP * t : HOP * t + WINDOW])) ** 2 for t in range(count)], axis=1)
    decades = np.log10(np.maximum(filters @ frames, 1e-10))
    return np.asarray((np.maximum(decades, decades.max() - 8.0) + 4.0) / 4.0)


@pytest.mark.parametrize("bins", [80, 128])
def test_filters_are_those_of_librosa(bins: int) -> None:
    """The filters are librosa's default ones."""
    np.testing.assert_allclose(mel_filters(bins), librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=bins), atol=1e-7)


@pytest.mark.parametrize("bins", [80, 128])
@pytest.mark.parametrize("samples", [480, 7_123, 16_000])
def test_frames_are_those_of_whisper(bins: int, samples: int) -> None:
    """A plain transcription of Whisper's code, with librosa's filters, gives the same numbers."""
    filters = librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=bins)
    found = log_mel(recording(samples), bins)
    assert found.shape == (bins, -(-samples // HOP))
    np.testing.assert_allclose(found, whisper(recording(samples), filters), atol=1e-5)


@pytest.mark.parametrize("samples", [0, 1, 50, 161, 201])
def test_a_recording_shorter_than_a_window_has_finite_frames(samples: int) -> None:
    """One frame for each 10 ms that has begun; no samples give no frames."""
    found = log_mel(np.full(samples, 0.1, np.float32), 80)
    assert found.shape == (80, -(-samples // HOP))
    assert np.isfinite(found).all()


def test_silence_is_the_lowest_value() -> None:
    """Ten powers of ten under one, plus four, divided by four."""
    assert np.array_equal(log_mel(np.zeros(1600, np.float32), 80), np.full((80, 10), -1.5))


def test_blocks_leave_no_seam() -> None:
    """A recording longer than a block has the frames that its second part has alone, but for the first ones of that."""
    samples = recording((_BLOCK + 100) * HOP)
    long, short = log_mel(samples, 80), log_mel(samples[_BLOCK * HOP :], 80)
    np.testing.assert_allclose(long[:, _BLOCK + 3 :], short[:, 3:], atol=1e-9)
