"""The fingerprint of sounds: what it survives, what it tells apart, and where it gives nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from mmdata.sketch.audio import LEAST_FRAMES, RATE, error_rate, fingerprint, keys, stored_keys

_OGG_RATE = 22050


def babble(seed: int, seconds: float = 4.0, rate: int = _OGG_RATE) -> NDArray[np.float32]:
    """Make a sound whose tones change every 50 ms, float32 [1, samples]."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    steps = (time * 20).astype(int)
    tones = [np.sin(2 * np.pi * np.cumsum(rng.uniform(300, 2000, steps[-1] + 1)[steps]) / rate) for _ in range(4)]
    return (0.1 * np.sum(tones, axis=0)[None]).astype(np.float32)


def vorbis(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Encode and decode with loss."""
    sink = io.BytesIO()
    soundfile.write(sink, samples.T, rate, "VORBIS", format="OGG", compression_level=0.9)
    sink.seek(0)
    return np.ascontiguousarray(soundfile.read(sink, dtype="float32", always_2d=True)[0].T)


def test_one_number_each_23_ms() -> None:
    """As many as frames that are not quiet, less one."""
    found = fingerprint(babble(0), _OGG_RATE)
    assert found.dtype == np.uint32
    assert abs(len(found) - 4.0 * RATE / 128) < 16


@pytest.mark.parametrize("seed", range(3))
def test_it_survives_encoding_level_noise_and_shifts(seed: int) -> None:
    """Fewer bits differ than the default of the stage allows, at the best alignment."""
    sound = babble(seed)
    original = fingerprint(sound, _OGG_RATE)
    noise = 0.01 * np.random.default_rng(seed).standard_normal(sound.shape).astype(np.float32)
    changed = {
        "encoded": vorbis(sound, _OGG_RATE),
        "soft": sound * np.float32(0.05),
        "noisy": sound + noise,
        "late": np.pad(sound, ((0, 0), (12345, 0))),
        "cut": sound[:, 4321:],
        "stereo": np.concatenate([sound, sound]),
    }
    rates = {name: error_rate(original, fingerprint(samples, _OGG_RATE)) for name, samples in changed.items()}
    assert max(rates.values()) < 0.2, rates
    assert all(len(np.intersect1d(stored_keys(original), keys(fingerprint(s, _OGG_RATE)))) for s in changed.values())


def test_other_sounds_are_far() -> None:
    """Nearly half of the bits differ, or no alignment is found."""
    found = [fingerprint(babble(seed), _OGG_RATE) for seed in range(8)]
    rates = [error_rate(one, other) for place, one in enumerate(found) for other in found[:place]]
    assert min(rates) > 0.35


def test_a_part_of_a_sound_is_not_the_sound() -> None:
    """Three quarters of the longer one must be covered."""
    sound = babble(1)
    part = sound[:, : sound.shape[1] // 2]
    assert error_rate(fingerprint(sound, _OGG_RATE), fingerprint(part, _OGG_RATE)) == 1.0


def test_the_rate_of_the_file_hardly_counts() -> None:
    """The same sound at two rates is near."""
    import soxr

    sound = babble(2)
    other = soxr.resample(sound[0], _OGG_RATE, 48000)[None]
    assert error_rate(fingerprint(sound, _OGG_RATE), fingerprint(other, 48000)) < 0.05


@pytest.mark.parametrize("samples", [0, 1, 100, 3000])
def test_silence_and_blips_give_too_little(samples: int) -> None:
    """Digital silence has no fingerprint, and a blip less than can be judged."""
    assert len(fingerprint(np.zeros((1, samples), np.float32), _OGG_RATE)) == 0
    assert len(fingerprint(babble(0)[:, :samples], _OGG_RATE)) < LEAST_FRAMES


def test_keys_leave_out_what_silence_gives() -> None:
    """All bits alike say nothing; of a long sound 64 keys at most are stored."""
    assert keys(np.array([0, 5, 0xFFFFFFFF, 5], np.uint32)).tolist() == [5]
    assert len(stored_keys(np.arange(1, 5000, dtype=np.uint32))) == 64
    assert error_rate(np.zeros(0, np.uint32), np.zeros(0, np.uint32)) == 1.0
