"""`audio.clip`: clips of bounded length, cut at pauses; segments and text go with the clip that they are spoken in."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import Step, TimeMap
from mmdata.record import Origin, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.audio_clip import Clip, texts_of_parts
from mmdata.values import Audio, Segment, Span, Text

_RNG = np.random.default_rng(0)
_RATE = 8000
_ORIGIN = Origin(0, "k", "train", "k")
_SCHEMA = Schema({"audio": FieldType("audio", dtype="float32", shape=(1, None)), "text": FieldType("text", dtype="str")})


def sentences(lengths: list[float], pause: float = 0.5) -> tuple[NDArray[np.float32], tuple[Segment, ...]]:
    """Make bursts of noise with faint noise between them, float32 [1, samples], and a segment for each."""
    rng = np.random.default_rng(1)
    starts = np.cumsum([0.0, *(length + pause for length in lengths[:-1])])
    samples = 1e-4 * rng.standard_normal((1, round((starts[-1] + lengths[-1]) * _RATE)))
    for start, length in zip(starts, lengths, strict=True):
        burst = slice(round(start * _RATE), round((start + length) * _RATE))
        samples[:, burst] = 0.1 * rng.standard_normal(samples[:, burst].shape)
    pairs = zip(starts.tolist(), lengths, strict=True)
    return samples.astype(np.float32), tuple(Segment(start, start + length, f"S{n}.") for n, (start, length) in enumerate(pairs))


def record(samples: NDArray[np.float32], segments: tuple[Segment, ...] = (), text: str | None = None) -> Record:
    """Make a record of a recording and its text."""
    fields = {"audio": Audio(samples, _RATE, segments)} | ({} if text is None else {"text": Text(text)})
    return Record("k", fields, _ORIGIN)


def clips(stage: Clip, given_record: Record) -> list[Record]:
    """Run the stage, which must make clips."""
    outcome = stage(given_record, _RNG)
    assert isinstance(outcome, list)
    return outcome


def audio_of(one: Record) -> Audio:
    """Return the recording."""
    value = one["audio"]
    assert isinstance(value, Audio)
    return value


def text_of(one: Record) -> str:
    """Return the text."""
    value = one["text"]
    assert isinstance(value, Text)
    return value.text


@pytest.mark.parametrize("by", ["level", "segments"])
def test_clips_are_the_recording_cut_in_its_pauses(by: Any) -> None:
    """All samples, in order, none twice; whole segments in each; each clip inside the bounds."""
    samples, segments = sentences([3.0, 2.0, 4.0, 1.5, 3.5, 2.5])
    if by == "segments":
        segments = tuple(Segment(segment.start, segment.end, "speech") for segment in segments)
    found = clips(Clip(minimum=3, maximum=8, by=by), record(samples, segments))
    assert np.array_equal(np.concatenate([audio_of(clip).samples for clip in found], axis=1), samples)
    assert len(found) >= 3
    for clip in found:
        value = audio_of(clip)
        assert 3.0 <= value.seconds <= 8.0
        assert value.segments
        assert not any(segment.clipped for segment in value.segments)
        (step,) = value.lineage
        assert step.removed == 6 - len(value.segments)
        edges = np.square(value.samples[0, [0, -1]])
        assert value is audio_of(found[0]) or edges[0] < 1e-6
    assert sum(len(audio_of(clip).segments) for clip in found) == 6


def test_segments_come_back_to_the_raw_recording() -> None:
    """Each to the second where it was."""
    samples, segments = sentences([3.0, 2.0, 4.0, 1.5, 3.5])
    back = {}
    for clip in clips(Clip(minimum=3, maximum=8), record(samples, segments)):
        (step,) = audio_of(clip).lineage
        assert isinstance(step.map, TimeMap)
        for segment in audio_of(clip).segments:
            back[segment.label] = step.map.backward(segment.start), step.map.backward(segment.end)
    for segment in segments:
        assert back[segment.label] == pytest.approx((segment.start, segment.end))


@given(st.lists(st.floats(0.2, 2.0), min_size=1, max_size=6), st.floats(0.4, 2.0), st.lists(st.floats(0.0, 5.0), max_size=8))
@settings(max_examples=40, deadline=None)
def test_clips_lose_nothing(lengths: list[float], maximum: float, times: list[float]) -> None:
    """Of the samples and of the time of the segments: the parts of one in all clips together are as long as it was."""
    samples, _ = sentences(lengths)
    seconds = samples.shape[1] / _RATE
    spans = [(start, min(end, seconds)) for start, end in pairwise(sorted(times)) if min(end, seconds) - start > 1e-3]
    segments = tuple(Segment(start, end, str(number)) for number, (start, end) in enumerate(spans))
    outcome = Clip(minimum=0.2, maximum=maximum)(record(samples, segments), _RNG)
    found = [audio_of(clip) for clip in (outcome if isinstance(outcome, list) else [outcome]) if isinstance(clip, Record)]
    assert np.array_equal(np.concatenate([value.samples for value in found], axis=1), samples)
    for segment in segments:
        parts = [part for value in found for part in value.segments if part.label == segment.label]
        assert abs(sum(part.end - part.start for part in parts) - (segment.end - segment.start)) < 1e-6
        assert [part.clipped for part in parts] == [len(parts) > 1] * len(parts)


@given(st.lists(st.floats(0.2, 3.0), min_size=3, max_size=12), st.sampled_from([0.0, 0.3]))
@settings(max_examples=40, deadline=None)
def test_every_word_is_in_one_clip(lengths: list[float], pause: float) -> None:
    """Sentences that fit are neither cut nor lost nor told twice, and the texts of the clips together are the text."""
    samples, segments = sentences(lengths, pause)
    text = "  ".join(segment.label for segment in segments)
    outcome = Clip(minimum=1, maximum=7, text="text")(record(samples, segments, text), _RNG)
    if not isinstance(outcome, list):
        assert samples.shape[1] <= 7 * _RATE
        return
    told = [segment.label for clip in outcome for segment in audio_of(clip).segments]
    assert told == [segment.label for segment in segments]
    assert [text_of(clip).split() for clip in outcome] == [
        [segment.label for segment in audio_of(clip).segments] for clip in outcome
    ]


def test_a_sentence_that_is_too_long_is_in_both_clips_and_marked() -> None:
    """Its part in each, with all of its words."""
    samples, segments = sentences([2.0, 9.0, 2.0])
    found = clips(Clip(minimum=2, maximum=6, text="text"), record(samples, segments, "S0. S1. S2."))
    held = [[(segment.label, segment.clipped) for segment in audio_of(clip).segments] for clip in found]
    assert held == [[("S0.", False)], [("S1.", True)], [("S1.", True)], [("S2.", False)]]
    assert [text_of(clip) for clip in found] == ["S0.", "S1.", "S1.", "S2."]
    assert sum(segment.end - segment.start for clip in found[1:3] for segment in audio_of(clip).segments) == pytest.approx(9.0)


def test_the_text_of_a_clip_keeps_its_spans_and_its_lineage() -> None:
    """Spans follow into their clip; the lineage leads back to the text as a whole."""
    text = Text("«One», two!  Three: four.", (Span(1, 4, "number"), Span(7, 10, "number"), Span(20, 24, "number")))
    first, second = texts_of_parts(text, ["One", "two", "Three", "four"], [[0, 1], [2, 3]], "audio.clip")
    assert (first.text, second.text) == ("«One», two!", "Three: four.")
    assert [second.text[span.start : span.end] for span in second.spans] == ["four"]
    assert [first.text[span.start : span.end] for span in first.spans] == ["One", "two"]
    (step,) = second.lineage
    assert isinstance(step, Step)
    assert (step.stage, step.removed) == ("audio.clip", 2)
    assert step.map.backward(0) == 13


@pytest.mark.parametrize(
    ("text", "parts", "expected"),
    [
        ("something else", [[0], [1, 2]], ["a", "b a"]),
        ("a and b a", [[0], [1, 2]], ["a", "b a"]),
        ("a b a more", [[0], [1, 2]], ["a", "b a"]),
        ("A heading a b a", [[0], [1, 2]], ["a", "b a"]),
        ("a, b, a", [[0, 2], [1]], ["a a", "b,"]),
        ("a, b, a", [[0, 1], [1, 2], []], ["a, b,", "b, a", ""]),
    ],
)
def test_a_text_that_does_not_hold_the_labels_is_rebuilt_of_them(text: str, parts: list[list[int]], expected: list[str]) -> None:
    """Other words between them, or a part with a gap; a part shared by two is in both, a part of nothing is empty.

    A text that is written anew has no spans of the old one: they are counted as removed.
    """
    raw = Text(text, (Span(0, 1, "first"),))
    found = texts_of_parts(raw, ["a", "b", "a"], parts, "audio.clip")
    assert [one.text for one in found] == expected
    assert all(len(one.spans) + sum(step.removed for step in one.lineage) == 1 for one in found)
    assert all(one.text[span.start : span.end] == text[0] for one in found for span in one.spans)


def test_speech_segments_are_no_transcript() -> None:
    """They follow, and may be cut; their label is in no text."""
    samples, segments = sentences([3.0, 3.0, 3.0])
    both = (*segments, Segment(0.0, 10.0, "speech"))
    found = clips(Clip(minimum=2, maximum=6, text="text"), record(samples, both, "S0. S1. S2."))
    assert all("speech" not in text_of(clip) for clip in found)
    assert all("speech" in {segment.label for segment in audio_of(clip).segments} for clip in found)
    with pytest.raises(RecordError, match="recording has no transcript"):
        Clip(minimum=2, maximum=6, text="text")(record(samples, both[-1:], "S0."), _RNG)


def test_what_fits_goes_through_and_what_is_too_short_is_filtered() -> None:
    """The record itself, key and all; a Reject that says how long it is."""
    samples, segments = sentences([6.0])
    short = record(samples, segments, "S0.")
    assert Clip(minimum=3, maximum=6, text="text")(short, _RNG) is short
    assert Clip(minimum=7, maximum=14)(short, _RNG) == Reject(
        "filtered", "recording is too short", "6.000 s; at least 7 s are wanted"
    )
    empty = Record("k", {}, _ORIGIN)
    assert Clip()(empty, _RNG) is empty


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_a_recording_without_sound_or_without_pause_is_cut_all_the_same(level: float) -> None:
    """Digital silence, or a sound through and through; in both ways to find pauses."""
    samples = (level * np.random.default_rng(0).standard_normal((2, 10 * _RATE))).astype(np.float32)
    for by in ("level", "segments"):
        stage = Clip.model_validate({"minimum": 2, "maximum": 4, "by": by})
        found = clips(stage, record(samples))
        assert np.array_equal(np.concatenate([audio_of(clip).samples for clip in found], axis=1), samples)
        assert all(2.0 <= audio_of(clip).seconds <= 4.0 for clip in found)


def test_the_stage_is_pure_and_agrees_with_its_inference() -> None:
    """Same input, same bytes, also after a pickle; the input stays as it was; the fields are those that were."""
    samples, segments = sentences([3.0, 2.0, 4.0])
    stage = Clip(minimum=2, maximum=6, text="text")
    given_record = record(samples.copy(), segments, "S0. S1. S2.")
    first = clips(stage, given_record)
    second = clips(pickle.loads(pickle.dumps(stage)), given_record)
    assert [audio_of(clip).samples.tobytes() for clip in first] == [audio_of(clip).samples.tobytes() for clip in second]
    assert np.array_equal(audio_of(given_record).samples, samples)
    assert stage.infer(_SCHEMA) == _SCHEMA
    assert all(set(clip.fields) == set(_SCHEMA.fields) for clip in first)
    assert stage.reads() == {"audio", "text"}
    assert Clip().reads() == {"audio"}


def test_wrong_options_are_refused() -> None:
    """Bounds that leave lengths out, a text that is none, or that tokens point into."""
    with pytest.raises(ValidationError, match="must be at most half of maximum"):
        Clip(minimum=6, maximum=10)
    with pytest.raises(RecipeError, match="field 'audio' is of kind audio, this needs text"):
        Clip(text="audio").infer(_SCHEMA)
    tokens = _SCHEMA.with_field("tokens", FieldType("tokens", text="text"))
    with pytest.raises(RecipeError, match="tokenize after this stage"):
        Clip(text="text").infer(tokens)
    assert Clip().infer(tokens) == tokens
    with pytest.raises(RecipeError, match=r"decode it first \(audio.decode\)"):
        Clip().infer(Schema({"audio": FieldType("audio", encoded=True)}))
