"""Log-mel features: the same as librosa computes, and untouched by padding."""

from __future__ import annotations

import librosa
import numpy as np
import torch
from numpy.typing import NDArray

from mmdata.dsp.mel import HOP, RATE, WINDOW, log_mel, mel_filters
from mmdata.loader.log_mel import MEL_BINS, LogMel
from mmdata.rng import rng_for


def _recording(samples: int) -> NDArray[np.float32]:
    time = np.arange(samples) / RATE
    noise = rng_for(0, "recording", samples).standard_normal(samples)
    return (0.2 * np.sin(2 * np.pi * 440 * time) + 0.01 * noise).astype(np.float32)


def _whisper(recording: NDArray[np.float32]) -> NDArray[np.float32]:
    """Whisper's features by librosa: the recording padded with silence, only the frames of the recording kept."""
    padded = np.pad(recording, (0, RATE))
    power = librosa.feature.melspectrogram(
        y=padded, sr=RATE, n_fft=WINDOW, hop_length=HOP, n_mels=MEL_BINS, pad_mode="reflect", power=2.0
    )
    decades = np.log10(np.maximum(power, 1e-10))[:, : -(-len(recording) // HOP)]
    features: NDArray[np.float32] = (np.maximum(decades, decades.max() - 8) + 4) / 4
    return features


def test_filters_are_those_of_librosa() -> None:
    """The filters are librosa's default ones."""
    expected = librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=MEL_BINS)
    np.testing.assert_allclose(mel_filters(MEL_BINS), expected, atol=1e-7)


def test_features_are_those_of_whisper_in_a_padded_batch() -> None:
    """Recordings of several lengths, in one batch, have the features that librosa gives each of them alone."""
    recordings = [_recording(samples) for samples in (16_000, 7_123, 480)]
    batch = np.zeros((3, 16_000), dtype=np.float32)
    for row, recording in zip(batch, recordings, strict=True):
        row[: len(recording)] = recording
    frames, lengths = LogMel()(torch.from_numpy(batch), torch.tensor([16_000, 7_123, 480]))
    assert lengths.tolist() == [100, 45, 3]
    for found, length, recording in zip(frames.numpy(), lengths.tolist(), recordings, strict=True):
        np.testing.assert_allclose(found[:, :length], _whisper(recording), atol=2e-4)
        assert not found[:, length:].any()


def test_recordings_shorter_than_a_window_and_absent_ones_have_finite_features() -> None:
    """A recording of a few samples has one frame, an absent one none, and no value is infinite."""
    frames, lengths = LogMel()(torch.full((2, 50), 0.1), torch.tensor([50, 0]))
    assert lengths.tolist() == [1, 0]
    assert torch.isfinite(frames).all()
    assert not frames[1].any()


def test_features_are_those_of_a_build() -> None:
    """What `audio.features` stores is what the trainer would compute."""
    recording = _recording(7_123)
    frames, _ = LogMel()(torch.from_numpy(recording)[None], torch.tensor([7_123]))
    np.testing.assert_allclose(frames[0].numpy(), log_mel(recording, MEL_BINS), atol=2e-4)
