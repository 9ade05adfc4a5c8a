"""Spectral gating: the default denoiser. It needs no training and no more than numpy and scipy, and harms clean speech little.

Each bin of a short-time Fourier transform is scaled by a gain between a floor and 1. The steps, each from its paper:

1. Noise power, followed from frame to frame by the probability that speech is absent: T. Gerkmann and R. C. Hendriks,
   "Unbiased MMSE-based noise power estimation with low complexity and low tracking delay", IEEE TASLP 20(4), 2012.
2. A-priori signal-to-noise ratio by the decision-directed rule, and from it the gain that minimizes the error of the log
   amplitude: Y. Ephraim and D. Malah, "Speech enhancement using a minimum mean-square error short-time spectral amplitude
   estimator", IEEE TASSP 32(6), 1984, and "... log-spectral amplitude estimator", IEEE TASSP 33(2), 1985.
3. A gain floor that rises to 1 as the recording as a whole gets cleaner, so that a clean recording passes nearly unchanged.

The whole recording is there when a dataset is built, so 1 and 2 run forwards and backwards in time: the smaller noise power
and the larger signal-to-noise ratio are kept, which both err towards leaving speech alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import exp1

Floats = NDArray[np.float64]
Recursion = Callable[[Floats, float], Floats]  # values [..., frames, bins] and seconds a frame, to values of the same shape

WINDOW_SECONDS = 0.032
SHORTEST_SECONDS = 0.25  # less than this says nothing about the noise
SEGMENT_SECONDS = 30.0  # longer recordings are worked on in segments: bounds the memory
CROSSFADE_SECONDS = 1.0
MAXIMUM_ATTENUATION_DB = 24.0  # of a bin without speech, at strength 1
FULL_GATE_DB, NO_GATE_DB = 18.0, 33.0  # recordings cleaner than the first are gated less, than the second not at all
SILENCE_POWER = 2.0**-32  # variance of a frame below half a step of 16 bits: digital silence, not noise

SPEECH_SNR = 10.0**1.5  # the signal-to-noise ratio that speech is taken to have where it is present (15 dB)
NOISE_MEMORY = 0.8  # smoothing constants of a frame step of 16 ms, as Gerkmann and Hendriks give them
PRESENCE_MEMORY = 0.9
PRESENCE_LIMIT = 0.99  # keeps the noise estimate from standing still after a step upwards
QUIET_SHARE = 0.2  # of the frames in a bin, the quietest, start the noise estimate
NOISE_SMOOTHING_BINS = 2.0  # deviation of the smoothing of the noise over frequency, at 31.25 Hz a bin
DECISION_MEMORY = 0.985
SMALLEST_SNR = 0.01
LARGEST_SNR = 1e6
TINY = 1e-14  # power added to each bin, so that no ratio divides by zero


def spectral_gate(samples: NDArray[np.float32], rate: int, *, strength: float = 1.0) -> NDArray[np.float32]:
    """Return `samples` with its steady noise turned down: same shape, same alignment, bit for bit the same each time.

    Args:
        samples: float32 [channels, samples], finite, nominally within [-1, 1]; left unchanged.
        rate: samples a second, in Hz.
        strength: 0 (output is input) to 1; a bin without speech is turned down by up to 24 dB times this.

    Channels share one gain, so the stereo image stays. A constant offset stays too. Silence, recordings shorter than 0.25 s
    and recordings whose signal is found 33 dB above their noise come back as they are. Output can exceed 1 where input clips.

    Raises:
        ValueError: the strength is outside [0, 1], the rate is not positive, or the samples are not [channels, samples].
    """
    if not 0.0 <= strength <= 1.0:
        raise ValueError(f"strength is {strength}; expected 0 to 1")
    if rate <= 0 or samples.ndim != 2:
        raise ValueError(f"found samples of shape {samples.shape} at {rate} Hz; expected [channels, samples], rate above 0")
    if strength == 0.0 or samples.size == 0 or samples.shape[1] < SHORTEST_SECONDS * rate:
        return samples.astype(np.float32, copy=True)
    offset = samples.mean(axis=1, keepdims=True, dtype=np.float64)
    centred = samples - offset
    gated: Floats = np.zeros_like(centred)
    for start, stop, weight in _segments(samples.shape[1], rate):
        gated[:, start:stop] += weight * _gate_segment(centred[:, start:stop], rate, strength)
    result: NDArray[np.float32] = (gated + offset).astype(np.float32)
    return result


def _segments(length: int, rate: int) -> list[tuple[int, int, Floats]]:
    """Cut [0, length) into overlapping segments: start, stop and weights [stop - start]; all weights at a sample add up to 1."""
    fade = round(CROSSFADE_SECONDS * rate)
    step = round(SEGMENT_SECONDS * rate)
    # The last segment takes what would be too short a rest, so every segment is longer than its two fades.
    starts = list(range(0, max(length - step // 2, 1), step))
    segments = []
    for start, following in zip(starts, [*starts[1:], length], strict=True):
        stop = min(following + fade, length)
        weight = np.ones(stop - start)
        rise = (np.arange(fade) + 0.5) / fade
        if start > 0:
            weight[:fade] = rise
        if stop < length:
            weight[-fade:] = 1.0 - rise
        segments.append((start, stop, weight))
    return segments


def _gate_segment(samples: Floats, rate: int, strength: float) -> Floats:
    """Gate float64 [channels, samples] without offset, as a whole."""
    hop = max(round(WINDOW_SECONDS * rate / 2), 1)
    spectrum, audible = _analyse(samples, hop)
    if not audible.any():
        return samples
    spectrum[:, audible] *= _gain(np.square(np.abs(spectrum[:, audible])) + TINY, hop / rate, strength)
    return _synthesize(spectrum, hop, samples.shape[1])


def _window(hop: int) -> Floats:
    """Return the square root of a periodic Hann window of two hops: its squares, a hop apart, add up to 1."""
    window: Floats = np.sin(np.pi * np.arange(2 * hop) / (2 * hop))
    return window


def _analyse(samples: Floats, hop: int) -> tuple[NDArray[np.complex128], NDArray[np.bool_]]:
    """Return the spectrum, complex [channels, frames, bins], and which frames are more than digital silence, [frames]."""
    padded = np.pad(samples, ((0, 0), (hop, hop + (-samples.shape[1]) % hop)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop, axis=1)[:, ::hop]
    audible = (frames.var(axis=2) > SILENCE_POWER).any(axis=0)
    return np.fft.rfft(frames * _window(hop), axis=2), audible


def _synthesize(spectrum: NDArray[np.complex128], hop: int, length: int) -> Floats:
    """Add the frames of `spectrum` up again: float64 [channels, length], the inverse of `_analyse`."""
    frames = np.fft.irfft(spectrum, 2 * hop, axis=2) * _window(hop)
    # The second half of each frame and the first half of the next one cover the same samples.
    samples: Floats = (frames[:, :-1, hop:] + frames[:, 1:, :hop]).reshape(len(spectrum), -1)
    return samples[:, :length]


def _gain(power: Floats, step: float, strength: float) -> Floats:
    """Return the gain in (0, 1] for `power`, [channels, frames, bins], frames `step` seconds apart: [frames, bins]."""
    noise = _noise_power(power, step)
    posterior = np.minimum(power / noise, LARGEST_SNR)
    prior = _both_ways(posterior, step, _prior_snr).max(axis=0)
    gain = _log_amplitude_gain(prior, posterior)
    floor = _floor(power, noise, strength)
    shared: Floats = np.maximum(gain, floor[:, None, None]).max(axis=0)
    return shared


def _floor(power: Floats, noise: Floats, strength: float) -> Floats:
    """Return the smallest gain of each channel, [channels]: 1 (nothing is gated) where its signal is far above its noise."""
    ratio = power.mean(axis=(1, 2)) / noise.mean(axis=(1, 2)) - 1.0
    decibels = 10.0 * np.log10(np.maximum(ratio, SMALLEST_SNR))
    share = np.clip((NO_GATE_DB - decibels) / (NO_GATE_DB - FULL_GATE_DB), 0.0, 1.0)
    floor: Floats = 10.0 ** (-MAXIMUM_ATTENUATION_DB * strength * share / 20.0)
    return floor


def _log_amplitude_gain(prior: Floats, posterior: Floats) -> Floats:
    """Return the gain of Ephraim and Malah 1985, in (0, 1], for a-priori and a-posteriori signal-to-noise power ratios."""
    wiener = prior / (1.0 + prior)
    gain: Floats = np.minimum(wiener * np.exp(0.5 * exp1(np.maximum(wiener * posterior, 1e-6))), 1.0)
    return gain


def _noise_power(power: Floats, step: float) -> Floats:
    """Return the noise power in each bin of `power`, both [channels, frames, bins], positive."""
    noise = _both_ways(power, step, _track_noise).min(axis=0)
    # Over the logarithm, so that a steep slope or a hum does not spill into its quiet neighbours.
    smooth: Floats = np.exp(gaussian_filter1d(np.log(noise), NOISE_SMOOTHING_BINS, axis=2))
    return smooth


def _both_ways(values: Floats, step: float, recursion: Recursion) -> Floats:
    """Run `recursion` over `values`, [channels, frames, bins], from either end: [2, channels, frames, bins], in order of time."""
    # Stacked, so that one loop over the frames does both directions and all channels at once.
    both = recursion(np.stack([values, values[:, ::-1]]), step)
    return np.stack([both[0], both[1, :, ::-1]])


def _track_noise(power: Floats, step: float) -> Floats:
    """Follow the noise power through the frames of `power`, [..., frames, bins], by the rule of Gerkmann and Hendriks 2012."""
    memory, presence_memory = (constant ** (step / 0.016) for constant in (NOISE_MEMORY, PRESENCE_MEMORY))
    noise = _quiet_power(power)
    presence = np.full_like(noise, 0.5)
    tracked = np.empty_like(power)
    for frame in range(power.shape[-2]):
        now = power[..., frame, :]
        evidence = np.minimum(now / noise * (SPEECH_SNR / (1.0 + SPEECH_SNR)), 200.0)
        speech = 1.0 / (1.0 + (1.0 + SPEECH_SNR) * np.exp(-evidence))
        presence = presence_memory * presence + (1.0 - presence_memory) * speech
        speech = np.where(presence > PRESENCE_LIMIT, np.minimum(speech, PRESENCE_LIMIT), speech)
        noise = memory * noise + (1.0 - memory) * (speech * noise + (1.0 - speech) * now)
        tracked[..., frame, :] = noise
    return tracked


def _quiet_power(power: Floats) -> Floats:
    """Return the mean power that noise must have for the quietest frames to be as quiet as they are: [..., bins]."""
    count = max(round(QUIET_SHARE * power.shape[-2]), 1)
    quiet = np.partition(power, count - 1, axis=-2)[..., :count, :].mean(axis=-2)
    # Gaussian noise has exponentially distributed power: its quietest share has this fraction of the mean.
    limit = -np.log1p(-QUIET_SHARE)
    fraction = (1.0 - (1.0 + limit) * np.exp(-limit)) / QUIET_SHARE
    noise: Floats = quiet / fraction
    return noise


def _prior_snr(posterior: Floats, step: float) -> Floats:
    """Return the a-priori signal-to-noise power ratio by the decision-directed rule of Ephraim and Malah 1984, same shape."""
    memory = DECISION_MEMORY ** (step / 0.016)
    speech = np.zeros_like(posterior[..., 0, :])
    prior = np.empty_like(posterior)
    for frame in range(posterior.shape[-2]):
        now = posterior[..., frame, :]
        ratio = np.maximum(memory * speech + (1.0 - memory) * np.maximum(now - 1.0, 0.0), SMALLEST_SNR)
        speech = np.square(ratio / (1.0 + ratio)) * now
        prior[..., frame, :] = ratio
    return prior
