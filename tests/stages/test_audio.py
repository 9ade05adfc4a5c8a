"""The audio stages after decoding: samples are as they should be, and segments stay with what was said."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from pydantic import ValidationError

from mmdata.dsp.loudness import integrated_loudness
from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import TimeMap
from mmdata.record import Origin, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.audio import Channels, Decode, Loudness, Resample, Trim
from mmdata.stages.base import FieldStage
from mmdata.values import Audio, Segment
from tests.stages.sounds import apply, encoded, record, sound

_RNG = np.random.default_rng(0)
_DECODED = Schema({"audio": FieldType("audio", dtype="float32", shape=(1, None), rate=16000)})


@pytest.mark.parametrize(("old", "new"), [(44100, 16000), (48000, 16000), (22050, 16000), (8000, 16000), (11025, 44100)])
@pytest.mark.parametrize("quality", ["HQ", "LQ"])
def test_resample_is_soxr_on_each_channel(old: int, new: int, quality: Any) -> None:
    """Bit for bit, of rounded length; segments stay where they are."""
    samples = sound(0.7, old)
    segments = (Segment(0.1, 0.6, "word"),)
    result = apply(Resample(rate=new, quality=quality), Audio(samples, old, segments))
    assert result.rate == new
    assert (result.segments, result.lineage) == (segments, ())
    assert result.samples.shape == (2, math.floor(samples.shape[1] * new / old + 0.5))
    for channel, expected in zip(result.samples, samples, strict=True):
        assert np.array_equal(channel, soxr.resample(expected, old, new, quality))


def test_resample_leaves_the_right_rate_alone_and_never_gives_nothing() -> None:
    """The same object comes back; a recording of a single sample keeps one."""
    value = Audio(sound(rate=16000), 16000)
    assert apply(Resample(), value) is value
    assert apply(Resample(rate=8000), Audio(sound(1 / 48000), 48000)).samples.shape == (2, 1)


def padded(before: int, after: int, rate: int = 16000, offset: float = 0.0) -> NDArray[np.float32]:
    """Make a second of tones with faint noise around it, all of it with a constant offset."""
    samples = 1e-4 * np.random.default_rng(1).standard_normal((1, before + rate + after))
    samples[:, before : before + rate] += sound(1.0, rate, 1)
    return (samples + offset).astype(np.float32)


@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_trim_cuts_the_silence_and_keeps_the_margin(offset: float) -> None:
    """To a frame; segments follow, one in the silence is removed, one that reaches into it is clipped."""
    segments = (Segment(0.05, 0.2, "hiss"), Segment(0.5, 1.2, "start"), Segment(1.0, 2.0, "all"))
    value = Audio(padded(16000, 8000, offset=offset), 16000, segments)
    result = apply(Trim(margin=0.1), value)
    (step,) = result.lineage
    assert isinstance(step.map, TimeMap)
    ((start, end, _, _),) = step.map.pieces
    assert 0.88 <= start <= 0.9
    assert 2.1 <= end <= 2.13
    assert np.array_equal(result.samples, value.samples[:, round(start * 16000) : round(end * 16000)])
    assert result.samples.base is None
    assert step.removed == 1
    assert [(segment.label, segment.clipped) for segment in result.segments] == [("start", True), ("all", False)]
    assert result.segments[1].start == pytest.approx(1.0 - start)


def test_trim_returns_what_has_no_silence_and_rejects_what_has_nothing_else() -> None:
    """A tone through and through is the same object; digital and faint silence are filtered."""
    value = Audio(sound(rate=16000), 16000)
    assert apply(Trim(), value) is value
    tiny = Audio(sound(0.001, 16000), 16000)
    assert apply(Trim(), tiny) is tiny
    for level in (0.0, 5e-5):
        silence = Audio((level * np.random.default_rng(0).standard_normal((2, 9999))).astype(np.float32), 16000)
        rejected = Trim()(record(silence), _RNG)
        assert isinstance(rejected, Reject)
        assert (rejected.kind, rejected.reason) == ("filtered", "recording is silent")


def test_trim_hears_a_channel_that_speaks_alone() -> None:
    """The loudest channel decides, in each frame."""
    left, right = padded(0, 16000), padded(16000, 0)
    value = Audio(np.concatenate([left, right]), 16000)
    assert apply(Trim(), value) is value


def test_trim_by_segments_keeps_all_of_a_label() -> None:
    """From the first to the last of the label, whole, with the margin; the samples outside go, however loud."""
    segments = (Segment(0.2, 0.25, "word"), Segment(0.50001, 0.7, "speech"), Segment(1.0, 1.20001, "speech"))
    value = Audio(sound(2.0, 16000), 16000, segments)
    result = apply(Trim(by="segments", margin=0.1), value)
    assert [(segment.label, segment.clipped) for segment in result.segments] == [("speech", False), ("speech", False)]
    assert result.samples.shape == (2, math.ceil(1.20001 * 16000) - math.floor(0.50001 * 16000) + 3200)
    assert result.segments[0].start == pytest.approx(0.1, abs=1 / 16000)
    rejected = Trim(by="segments", label="song")(record(value), _RNG)
    assert rejected == Reject("filtered", "recording has no segment to keep", "none of 3 is 'song'")


@pytest.mark.parametrize(
    ("to", "expected"),
    [("left", [0]), ("right", [1]), ((1, 0, 1), [1, 0, 1]), ((2,), [2]), (3, [0, 1, 2])],
)
def test_channels_are_picked(to: Any, expected: list[int]) -> None:
    """By name, by number, in a new order; segments and lineage stay, and `infer` knows how many come."""
    value = Audio(sound(0.1, 16000, 3), 16000, (Segment(0.0, 0.05, "a"),))
    result = apply(Channels(to=to), value)
    assert np.array_equal(result.samples, value.samples[expected])
    assert (result.segments, result.lineage, result.rate) == (value.segments, (), 16000)
    inferred = Channels(to=to).infer(Schema({"audio": FieldType("audio", dtype="float32", shape=(3, None))}))
    assert inferred.fields["audio"].shape == (len(expected), None)


@pytest.mark.parametrize("to", ["mono", 1])
def test_mono_is_the_mean(to: Any) -> None:
    """Of all channels; a recording of one channel is the same object, also by its number or as left and right."""
    value = Audio(sound(0.1, 16000, 3), 16000)
    np.testing.assert_allclose(apply(Channels(to=to), value).samples, value.samples.mean(axis=0, keepdims=True), atol=1e-7)
    single = Audio(sound(0.1, 16000, 1), 16000)
    for same in (to, "left", "right", (0,)):
        assert apply(Channels(to=same), single) is single


def test_one_channel_becomes_as_many_as_are_wanted() -> None:
    """All equal; another number cannot be made of several."""
    single = Audio(sound(0.1, 16000, 1), 16000)
    assert np.array_equal(apply(Channels(to=4), single).samples, np.repeat(single.samples, 4, axis=0))
    with pytest.raises(RecordError, match="recording does not have the channels: it has 3, and 2 is wanted"):
        Channels(to=2)(record(Audio(sound(0.1, 16000, 3), 16000)), _RNG)


def test_channels_that_cannot_be_are_said_before_any_data_is_read() -> None:
    """Where the schema knows how many there are."""
    with pytest.raises(RecipeError, match=r"to: \(1,\) cannot be made of a recording with 1 channel"):
        Channels(to=(1,)).infer(_DECODED)
    for wrong in ("centre", 0, (), (-1,)):
        with pytest.raises(ValidationError):
            Channels(to=wrong)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize("seconds", [0.01, 0.3999, 0.4, 3.0])
def test_loudness_brings_recordings_to_the_target(rate: int, seconds: float) -> None:
    """Long and short ones; the measure says what a meter says of the result."""
    value = Audio(sound(seconds, rate), rate, (Segment(0.0, 0.005),))
    result = Loudness(target=-20)(record(value), _RNG)
    assert isinstance(result, Record)
    audio = result["audio"]
    assert isinstance(audio, Audio)
    assert integrated_loudness(audio.samples, rate) == pytest.approx(-20.0, abs=0.002)
    assert result.measures["audio.loudness"] == pytest.approx(-20.0, abs=0.002)
    assert (audio.segments, audio.lineage) == (value.segments, ())


def test_loudness_never_clips() -> None:
    """A single click would have to be raised too far: the gain stops at the peak limit, and the measure says so."""
    samples = 0.001 * sound(2.0, 16000, 1)
    samples[0, 500] = 0.5
    result = Loudness(peak_limit=-6.0)(record(Audio(samples, 16000)), _RNG)
    assert isinstance(result, Record)
    audio = result["audio"]
    assert isinstance(audio, Audio)
    limit = 10 ** (-6 / 20)
    assert 0.999 * limit < np.abs(audio.samples).max() <= limit
    loudness = result.measures["audio.loudness"]
    assert isinstance(loudness, float)
    assert loudness < -30.0
    assert loudness == pytest.approx(integrated_loudness(audio.samples, 16000), abs=0.002)


def test_loudness_leaves_silence_as_it_is() -> None:
    """The same object, measured as -70."""
    silence = Audio(np.zeros((1, 16000), np.float32), 16000)
    result = Loudness()(record(silence), _RNG)
    assert isinstance(result, Record)
    assert result["audio"] is silence
    assert result.measures == {"audio.loudness": -70.0}


_EACH = [Decode(channels="keep"), Resample(), Channels(), Channels(to="left"), Trim(), Loudness()]


@pytest.mark.parametrize("stage", _EACH, ids=lambda stage: str(stage.stage))
def test_stages_are_pure_and_agree_with_their_inference(stage: FieldStage[Audio]) -> None:
    """Same input, same bytes, also after a pickle; the input stays as it was; `infer` says the kind, rate and shape that come."""
    samples = np.pad(sound(1.0, 22050), ((0, 0), (20000, 20000)))
    encoded_first = isinstance(stage, Decode)
    value = Audio(encoded("wav16", samples, 22050)) if encoded_first else Audio(samples.copy(), 22050)
    given_type = FieldType("audio", encoded=True) if encoded_first else FieldType("audio", dtype="float32", shape=(None, None))
    inferred = stage.infer(Schema({"audio": given_type}))
    first, second = apply(stage, value), apply(pickle.loads(pickle.dumps(stage)), value)
    assert first.samples.tobytes() == second.samples.tobytes()
    assert encoded_first or np.array_equal(value.samples, samples)
    assert (inferred.fields["audio"].kind, inferred.fields["audio"].dtype) == ("audio", str(first.samples.dtype))
    assert not inferred.fields["audio"].encoded
    assert inferred.fields["audio"].rate in (None, first.rate)
    assert (inferred.fields["audio"].shape or (None,))[0] in (None, len(first.samples))
    result = stage(record(value), _RNG)
    assert isinstance(result, Record)
    assert set(inferred.measures) == set(result.measures)


def test_infer_says_what_is_known() -> None:
    """Decoding to mono fixes the channels, resampling the rate."""
    raw = Schema({"audio": FieldType("audio", encoded=True)})
    decoded = Decode().infer(raw)
    assert decoded.fields["audio"] == FieldType("audio", dtype="float32", shape=(1, None))
    assert Decode(channels="keep").infer(raw).fields["audio"].shape == (None, None)
    resampled = Resample(rate=8000).infer(decoded).fields["audio"]
    assert (resampled.rate, resampled.shape) == (8000, (1, None))
    assert Loudness().infer(_DECODED).measures == {"audio.loudness": "float"}


@pytest.mark.parametrize("stage", [Resample(), Channels(), Trim(), Loudness()], ids=lambda stage: str(stage.stage))
def test_infer_says_what_is_wrong(stage: FieldStage[Audio]) -> None:
    """A field that is encoded, missing, or of another kind."""
    with pytest.raises(RecipeError, match=r"decode it first \(audio.decode\)"):
        stage.infer(Schema({"audio": FieldType("audio", encoded=True)}))
    with pytest.raises(RecipeError, match="there is no field 'audio'; the fields here are 'sound'"):
        stage.infer(Schema({"sound": FieldType("audio")}))
    with pytest.raises(RecipeError, match="field 'audio' is of kind text, this needs audio"):
        stage.infer(Schema({"audio": FieldType("text")}))
    with pytest.raises(RecipeError, match="already decoded"):
        Decode().infer(_DECODED)


def test_options_outside_their_range_are_refused() -> None:
    """A rate of nothing, a threshold above the loudest frame, an unknown option."""
    wrong: list[tuple[type[FieldStage[Audio]], dict[str, Any]]] = [
        (Resample, {"rate": 0}), (Trim, {"threshold_db": 3}), (Loudness, {"peak_limit": 1}), (Decode, {"chanels": "mono"}),
    ]  # fmt: skip
    for stage, options in wrong:
        with pytest.raises(ValidationError):
            stage(**options)


def test_a_record_without_the_recording_has_no_loudness() -> None:
    """It goes through as it is."""
    empty = Record("k", {}, Origin(0, "k", "train", "k"))
    assert Loudness()(empty, _RNG) is empty
