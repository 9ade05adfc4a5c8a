"""Chains of audio stages: wherever a segment went, its ends come back to where they were in the raw recording."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmdata.lineage import TimeMap, composed
from mmdata.record import Record
from mmdata.stages.audio import Channels, Resample, Trim
from mmdata.stages.audio_clip import Clip
from mmdata.stages.base import Stage
from mmdata.values import Audio, Segment
from tests.stages.sounds import record

_RATE = 16000
_RNG = np.random.default_rng(0)
_STAGES = st.one_of(
    st.builds(Trim, threshold_db=st.floats(-60.0, -1.0), margin=st.floats(0.0, 0.3)),
    st.builds(Trim, by=st.just("segments"), label=st.sampled_from(["0", "1", "2"]), margin=st.floats(0.0, 0.3)),
    st.builds(Clip, minimum=st.just(0.2), maximum=st.floats(0.4, 3.0), label=st.sampled_from(["", "0"])),
    st.builds(Clip, minimum=st.just(0.0), maximum=st.floats(0.1, 1.0), by=st.just("segments"), label=st.just("1")),
    st.builds(Resample, rate=st.sampled_from([8000, 11025, 22050, 44100])),
    st.builds(Channels, to=st.sampled_from(["mono", "left", "right", 1])),
)
_TIMES = st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 3.0)), max_size=8)


def sounding(before: int, after: int) -> NDArray[np.float32]:
    """Make bursts of noise in two channels, with faint noise around and between them: float32 [2, samples] at 16 kHz."""
    rng = np.random.default_rng(1)
    samples = 1e-4 * rng.standard_normal((2, before + 2 * _RATE + after))
    for start in (before, before + 9000, before + 24000):
        samples[:, start : start + 6000] *= 1000.0
    return samples.astype(np.float32)


def segments_of(times: list[tuple[float, float]], seconds: float) -> tuple[Segment, ...]:
    """Make segments of pairs of times, those that last a millisecond or more inside of the recording; labels count them."""
    ordered = [(min(pair), min(max(pair), seconds)) for pair in times]
    spans = [(start, end) for start, end in ordered if end - start > 1e-3]
    return tuple(Segment(start, end, str(number)) for number, (start, end) in enumerate(spans))


def run(stages: list[Stage], value: Audio) -> list[Audio]:
    """Run a chain of stages over a recording; return all that comes out of it."""
    records = [record(value)]
    for stage in stages:
        outcomes = [stage(one, _RNG) for one in records]
        records = [
            found
            for outcome in outcomes
            for found in (outcome if isinstance(outcome, list) else [outcome])
            if isinstance(found, Record)
        ]
    return [found for one in records if isinstance(found := one["audio"], Audio)]


@given(st.lists(_STAGES, min_size=1, max_size=5), _TIMES, st.integers(0, 8000), st.integers(0, 8000))
@example([Trim(margin=0.0), Resample(rate=11025), Clip(minimum=0.2, maximum=0.4)], [(0.3, 1.2)], 3001, 4001)
@settings(max_examples=60, deadline=None)
def test_segments_come_back_to_the_raw_recording(
    stages: list[Stage], times: list[tuple[float, float]], before: int, after: int
) -> None:
    """Through any chain, an end that was not cut maps back to the raw second within a sample; one that was, to the cut."""
    samples = sounding(before, after)
    seconds = samples.shape[1] / _RATE
    segments = segments_of(times, seconds)
    sample = 1 / 8000  # of the lowest rate in the chain
    for value in run(stages, Audio(samples, _RATE, segments)):
        back = composed(value.lineage) or TimeMap.cut(0.0, seconds)
        assert isinstance(back, TimeMap)
        low, high = back.pieces[0][0], back.pieces[-1][1]
        assert abs(high - low - value.seconds) <= sample
        assert len(value.segments) + sum(step.removed for step in value.lineage) == len(segments)
        for segment in value.segments:
            raw = segments[int(segment.label)]
            found = back.backward(segment.start), back.backward(segment.end)
            assert np.abs(np.subtract(found, (max(raw.start, low), min(raw.end, high)))).max() <= sample
            if min(abs(raw.start - low), abs(raw.end - high)) > 1e-6:
                assert segment.clipped == (raw.start < low or raw.end > high)
            assert 0.0 <= segment.start < segment.end <= value.seconds + sample


@given(_TIMES, st.integers(0, 4000), st.floats(0.4, 2.0))
@settings(max_examples=40, deadline=None)
def test_clips_lose_nothing(times: list[tuple[float, float]], before: int, maximum: float) -> None:
    """Of the samples and of the time of the segments: the parts of one in all clips together are as long as it was."""
    samples = sounding(before, 0)
    seconds = samples.shape[1] / _RATE
    segments = segments_of(times, seconds)
    found = run([Clip(minimum=0.2, maximum=maximum)], Audio(samples, _RATE, segments))
    assert np.array_equal(np.concatenate([value.samples for value in found], axis=1), samples)
    for segment in segments:
        parts = [part for value in found for part in value.segments if part.label == segment.label]
        assert abs(sum(part.end - part.start for part in parts) - (segment.end - segment.start)) < 1e-6
        assert [part.clipped for part in parts] == [len(parts) > 1] * len(parts)
