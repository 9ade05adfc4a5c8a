"""`audio.speech`: segments where somebody speaks, and how much of the recording that is."""

from __future__ import annotations

import pickle
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from pydantic import ValidationError

from mmdata.errors import MissingExtraError, RecipeError
from mmdata.record import Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.audio import Resample, Trim
from mmdata.stages.audio_speech import Speech
from mmdata.values import Audio, Segment
from tests.stages.sounds import apply, record

pytest.importorskip("onnxruntime")
if find_spec("silero_vad") is None:
    pytest.skip("the extra `speech` is not installed", allow_module_level=True)

DEMO = Path(__file__).parents[2] / "pipelines" / "demo" / "audio"
_RNG = np.random.default_rng(0)
_SCHEMA = Schema({"audio": FieldType("audio", dtype="float32", shape=(1, None))})


def spoken() -> tuple[NDArray[np.float32], int]:
    """Read a demo recording with a second of faint hiss before and after it: float32 [1, samples], and its rate."""
    samples, rate = soundfile.read(DEMO / "beagle-01.flac", dtype="float32", always_2d=True)
    quiet = np.pad(samples.mean(axis=1), rate)
    return (quiet + 1e-4 * np.random.default_rng(0).standard_normal(len(quiet)))[None].astype(np.float32), rate


def run(stage: Speech, value: Audio) -> Record:
    """Run the stage over one recording."""
    result = stage(record(value), _RNG)
    assert isinstance(result, Record)
    return result


def test_speech_is_marked_and_measured() -> None:
    """Inside of what was spoken; other segments stay, earlier ones of the label are replaced; the samples are the same."""
    samples, rate = spoken()
    other = Segment(0.0, 0.5, "hiss")
    value = Audio(samples, rate, (Segment(0.1, 0.2, "speech"), other))
    result = run(Speech(), value)
    audio = result["audio"]
    assert isinstance(audio, Audio)
    first, *speech = audio.segments
    assert first is other
    assert speech
    assert {segment.label for segment in speech} == {"speech"}
    assert speech[0].start > 0.9
    assert speech[-1].end < value.seconds - 0.9
    assert audio.samples is value.samples
    assert audio.lineage == ()
    seconds = sum(segment.end - segment.start for segment in speech)
    assert result.measures == {
        "audio.speech_seconds": round(seconds, 3),
        "audio.speech_share": round(seconds / value.seconds, 4),
    }


def test_the_rate_and_the_channels_matter_little() -> None:
    """At another rate, or doubled to two channels, speech begins and ends where it did."""
    samples, rate = spoken()
    raw = Audio(samples, rate)
    expected = apply(Speech(), raw).segments
    assert apply(Speech(), Audio(np.repeat(samples, 2, axis=0), rate)).segments == expected
    resampled = apply(Speech(), apply(Resample(rate=22050), raw)).segments
    assert len(resampled) == len(expected)
    for found, segment in zip(resampled, expected, strict=True):
        assert found.start == pytest.approx(segment.start, abs=0.07)
        assert found.end == pytest.approx(segment.end, abs=0.07)


def test_the_stage_is_pure_and_agrees_with_its_inference() -> None:
    """Same input, same segments, also after a pickle; the measures are those that `infer` promises."""
    samples, rate = spoken()
    value = Audio(samples.copy(), rate)
    first, second = run(Speech(), value), run(pickle.loads(pickle.dumps(Speech())), value)
    assert isinstance(first["audio"], Audio)
    assert isinstance(second["audio"], Audio)
    assert first["audio"].segments == second["audio"].segments
    assert first.measures == second.measures
    assert np.array_equal(value.samples, samples)
    inferred = Speech().infer(_SCHEMA)
    assert inferred.fields == _SCHEMA.fields
    assert inferred.measures == dict.fromkeys(first.measures, "float")


def test_a_recording_with_little_speech_is_filtered() -> None:
    """With the share that was found; one without any, or without samples, has measures of 0."""
    samples, rate = spoken()
    outcome = Speech(minimum_share=0.9)(record(Audio(samples, rate)), _RNG)
    assert isinstance(outcome, Reject)
    assert (outcome.kind, outcome.reason) == ("filtered", "recording has little speech")
    assert "at least 90.0% are wanted" in outcome.detail
    for length in (0, 1, 16000):
        silent = run(Speech(), Audio(np.zeros((1, length), np.float32), 48000))
        assert set(silent.measures.values()) == {0.0}
    assert isinstance(Speech(minimum_share=0.1)(record(Audio(samples, rate)), _RNG), Record)


def test_trim_keeps_the_speech() -> None:
    """From its beginning to its end, by a label of one's own."""
    samples, rate = spoken()
    marked = apply(Speech(label="voice"), Audio(samples, rate))
    trimmed = apply(Trim(by="segments", label="voice", margin=0.0), marked)
    length = marked.segments[-1].end - marked.segments[0].start
    assert trimmed.seconds == pytest.approx(length, abs=2 / rate)
    assert len(trimmed.segments) == len(marked.segments)
    assert not any(segment.clipped for segment in trimmed.segments)


def test_a_missing_extra_is_said_before_any_data_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan fails, and says what to install."""
    monkeypatch.setitem(sys.modules, "silero_vad", None)  # how Python marks a module that cannot be imported
    with pytest.raises(MissingExtraError, match=r"audio.speech needs the extra 'speech'"):
        Speech().infer(_SCHEMA)


def test_wrong_options_are_refused() -> None:
    """A probability that is none, a label that is empty, a field that is encoded."""
    for options in ({"threshold": 1.5}, {"label": ""}, {"minimum_share": 2}):
        with pytest.raises(ValidationError):
            Speech.model_validate(options)
    with pytest.raises(RecipeError, match=r"decode it first \(audio.decode\)"):
        Speech().infer(Schema({"audio": FieldType("audio", encoded=True)}))


def test_a_record_without_the_recording_goes_through() -> None:
    """There is nobody to hear."""
    empty = record(Audio(np.zeros((1, 1), np.float32), 16000)).without("audio")
    assert Speech(minimum_share=1.0)(empty, _RNG) is empty
