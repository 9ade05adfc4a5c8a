"""The default denoiser: it removes steady noise, leaves clean speech alone, and takes any finite input."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mmdata.dsp.spectral_gate import SEGMENT_SECONDS, _segments, spectral_gate

Samples = NDArray[np.float32]

RATES = (8000, 16000, 22050, 44100, 48000)


def speech_like(seconds: float, rate: int, seed: int = 0) -> Samples:
    """Return syllables, [1, samples]: harmonics of a gliding voice under moving formants, with pauses between them."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 25 * np.sin(2 * np.pi * 0.7 * time + rng.uniform(0, 6))) / rate
    formants = [(500 + 200 * np.sin(2 * np.pi * 1.3 * time), 90), (1500 + 500 * np.sin(2 * np.pi * 0.9 * time), 150)]
    voice = np.zeros_like(time)
    for harmonic in range(1, min(30, rate // 300)):
        frequency = 120.0 * harmonic
        level = sum(1 / (1 + ((frequency - centre) / width) ** 2) for centre, width in formants)
        voice += level * np.sin(harmonic * pitch)
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time) + 0.3, 0, None) * (np.sin(2 * np.pi * 0.45 * time) > -0.5)
    voice *= syllables
    return np.asarray(0.5 * voice / np.abs(voice).max(), dtype=np.float32)[np.newaxis, :]


def noise(samples: Samples, snr_db: float, seed: int = 1) -> Samples:
    """Return white noise at this ratio of powers to `samples`, of the same shape."""
    power = np.square(samples).mean() * 10 ** (-snr_db / 10)
    return np.asarray(np.random.default_rng(seed).standard_normal(samples.shape) * np.sqrt(power), dtype=np.float32)


def si_sdr(reference: Samples, estimate: Samples) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB."""
    flat, other = reference.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    target = flat * (flat @ other) / (flat @ flat)
    return float(10 * np.log10((target @ target) / max(float(np.square(other - target).sum()), 1e-12)))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("channels", [1, 2])
def test_shape_and_type_are_kept_at_any_rate(rate: int, channels: int) -> None:
    """Float32 comes in, float32 of the same shape comes out, and the input is left as it was."""
    samples = np.repeat(speech_like(1.237, rate), channels, axis=0)
    samples += noise(samples, 5)
    before = samples.copy()
    gated = spectral_gate(samples, rate)
    assert gated.shape == samples.shape
    assert gated.dtype == np.float32
    assert np.isfinite(gated).all()
    assert np.array_equal(samples, before)


@pytest.mark.parametrize("rate", RATES)
def test_noise_is_reduced(rate: int) -> None:
    """Speech in white noise at 5 dB gains at least 4 dB."""
    clean = speech_like(4, rate)
    noisy = clean + noise(clean, 5)
    assert si_sdr(clean, spectral_gate(noisy, rate)) > si_sdr(clean, noisy) + 4


def test_the_same_input_gives_the_same_bytes() -> None:
    """Nothing random, nothing remembered."""
    clean = speech_like(2, 16000)
    noisy = clean + noise(clean, 5)
    assert spectral_gate(noisy, 16000).tobytes() == spectral_gate(noisy.copy(), 16000).tobytes()


def test_clean_speech_is_left_alone() -> None:
    """What is removed from clean speech is more than 30 dB below it."""
    clean = speech_like(4, 16000)
    clean += noise(clean, 50)
    assert si_sdr(clean, spectral_gate(clean, 16000)) > 30


def test_strength_goes_from_nothing_to_everything() -> None:
    """Strength 0 is the identity; more strength leaves less noise in a pause."""
    clean = speech_like(3, 16000)
    noisy = clean + noise(clean, 5)
    pause = np.abs(clean[0]) < 1e-6
    left = [np.square(spectral_gate(noisy, 16000, strength=strength)[0, pause]).mean() for strength in (0.0, 0.5, 1.0)]
    assert np.array_equal(spectral_gate(noisy, 16000, strength=0.0), noisy)
    assert left[0] > 4 * left[1] > 8 * left[2]


@pytest.mark.parametrize("length", [0, 1, 100, 3999, 4000, 4001])
@pytest.mark.parametrize("channels", [1, 2])
def test_short_recordings_are_taken(length: int, channels: int) -> None:
    """Anything below a quarter of a second comes back as it is; from there on it is gated."""
    samples = np.random.default_rng(0).standard_normal((channels, length)).astype(np.float32)
    gated = spectral_gate(samples, 16000)
    assert gated.shape == samples.shape
    assert np.isfinite(gated).all()
    assert np.array_equal(gated, samples) == (length < 4000)


def test_silence_stays_silence() -> None:
    """Zeros, and the rounding noise of a silent codec, come back as they are."""
    assert not spectral_gate(np.zeros((2, 16000), np.float32), 16000).any()
    whisper = np.full((1, 16000), 1e-6, np.float32)
    assert np.allclose(spectral_gate(whisper, 16000), whisper, atol=1e-9)


def test_padding_with_silence_changes_little() -> None:
    """Digital silence around a recording is no sign of low noise."""
    clean = speech_like(4, 16000)
    noisy = clean + noise(clean, 5)
    padded = np.pad(noisy, ((0, 0), (16000, 16000)))
    inside = spectral_gate(padded, 16000)[:, 16000:-16000]
    assert abs(si_sdr(clean, inside) - si_sdr(clean, spectral_gate(noisy, 16000))) < 0.5


def test_an_offset_is_carried_through() -> None:
    """A constant added to the input is in the output, and changes nothing else."""
    clean = speech_like(2, 16000)
    noisy = clean + noise(clean, 5)
    assert np.allclose(spectral_gate(noisy + np.float32(0.25), 16000) - 0.25, spectral_gate(noisy, 16000), atol=1e-4)


def test_clipped_and_loud_input_is_taken() -> None:
    """Clipped speech and values far beyond 1 give finite output of the same scale."""
    noisy = speech_like(2, 16000) + noise(speech_like(2, 16000), 5)
    for samples in (np.clip(8 * noisy, -1, 1), 1000 * noisy):
        gated = spectral_gate(samples, 16000)
        assert np.isfinite(gated).all()
        assert np.abs(gated).max() < 2 * np.abs(samples).max()


def test_channels_share_one_gain() -> None:
    """The ratio of two channels, the stereo image, is kept; a dead channel does not stop the other from being gated."""
    clean = speech_like(3, 16000)
    noisy = clean + noise(clean, 5)
    single = spectral_gate(noisy, 16000)
    both = spectral_gate(np.concatenate([noisy, 0.5 * noisy]), 16000)
    assert np.allclose(both[:1], single, atol=1e-4)
    assert np.allclose(both[1], 0.5 * both[0], atol=1e-4)
    dead = spectral_gate(np.concatenate([noisy, np.zeros_like(noisy)]), 16000)
    assert np.allclose(dead[:1], single, atol=1e-2)
    assert not dead[1].any()


@pytest.mark.parametrize("seconds", [1, 30, 44.9, 45, 46, 75.1, 200])
def test_segments_cover_everything_once(seconds: float) -> None:
    """The weights of overlapping segments add up to 1 at every sample."""
    rate = 100
    length = round(seconds * rate)
    total = np.zeros(length)
    for start, stop, weight in _segments(length, rate):
        assert stop - start <= 1.6 * SEGMENT_SECONDS * rate
        total[start:stop] += weight
    assert np.allclose(total, 1)


def test_a_long_recording_is_gated_without_seams() -> None:
    """Around the border of two segments the output is as good as elsewhere."""
    clean = speech_like(50, 8000)
    noisy = clean + noise(clean, 5)
    gated = spectral_gate(noisy, 8000)
    border = slice(29 * 8000, 32 * 8000)
    assert si_sdr(clean[:, border], gated[:, border]) > si_sdr(clean[:, border], noisy[:, border]) + 4


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_wrong_strength_is_refused(strength: float) -> None:
    """The error says what was found and what was expected."""
    with pytest.raises(ValueError, match="expected 0 to 1"):
        spectral_gate(np.zeros((1, 8000), np.float32), 16000, strength=strength)


def test_perceived_quality_is_not_lowered() -> None:
    """PESQ of gated speech is at least that of the noisy input."""
    pesq = pytest.importorskip("pesq").pesq
    clean = speech_like(4, 16000)
    noisy = clean + noise(clean, 5)
    gated = spectral_gate(noisy, 16000)
    assert pesq(16000, clean[0], gated[0], "wb") >= pesq(16000, clean[0], noisy[0], "wb")
