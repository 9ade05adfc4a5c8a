"""Where long recordings are cut: inside the bounds, in pauses, and not inside of segments where that can be."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.dsp.cutting import Bounds, Sounds, cut_times, pauses_between, runs

RATE, HOP = 1000, 10
Spans = list[tuple[float, float]]


def sounds(seconds: float, pauses: Spans, segments: Spans) -> Sounds:
    """Make a recording of noise that is equally loud all through, but for its pauses."""
    samples = round(seconds * RATE)
    levels = np.ones(max(1, samples // HOP))
    for start, end in pauses:
        levels[int(start * RATE / HOP) : int(end * RATE / HOP)] = 0.0
    return Sounds(RATE, samples, levels, HOP, pauses, segments)


def spans(gap: float) -> st.SearchStrategy[Spans]:
    """Draw spans in order, at least a gap apart."""
    lengths = st.lists(st.tuples(st.floats(gap, 4.0), st.floats(0.05, 6.0)), max_size=12)

    def laid(pairs: Spans) -> Spans:
        found, reached = [], 0.0
        for space, length in pairs:
            found.append((reached + space, reached + space + length))
            reached = found[-1][1]
        return found

    return lengths.map(laid)


@given(st.floats(0.2, 60.0), st.floats(0.05, 10.0), st.floats(0.0, 0.5), spans(0.01), spans(0.0))
@settings(max_examples=200, deadline=None)
def test_clips_keep_the_bounds_and_cover_everything(
    seconds: float, longest: float, share: float, pauses: Spans, segments: Spans
) -> None:
    """Whatever sounds where: each clip is at least the shortest and at most the longest, to the sample."""
    bounds = Bounds(max(1, int(share * longest * RATE)), int(longest * RATE))
    recording = sounds(seconds, [(start, end) for start, end in pauses if end < seconds], segments)
    times = cut_times(recording, bounds)
    assert (times[0], times[-1]) == (0.0, recording.samples / RATE)
    lengths = [round(end * RATE) - round(start * RATE) for start, end in pairwise(times)]
    if recording.samples > bounds.longest:
        assert min(lengths) >= bounds.shortest
    assert max(lengths) <= bounds.longest


@given(st.lists(st.floats(0.3, 3.0), min_size=5, max_size=25), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_segment_is_cut_where_a_border_fits(lengths: list[float], apart: bool) -> None:  # noqa: FBT001 - drawn
    """A search over all ways to cut only at borders decides whether it can be done."""
    gap = 0.05 if apart else 0.0
    edges = np.cumsum([0.0, *(length + gap for length in lengths)])
    segments = [(float(start), float(end) - gap) for start, end in pairwise(edges)]
    bounds = Bounds(2000, 5000)
    seconds = float(edges[-1])
    borders = [0, *(round((end + start) / 2 * RATE) for (_, end), (start, _) in pairwise(segments)), round(seconds * RATE)]
    reachable = {0}
    for border in borders[1:]:
        reachable |= {border} if any(2000 <= border - before <= 5000 for before in reachable) else set()
    times = cut_times(sounds(seconds, [], segments), bounds)[1:-1]
    crossed = [time for time in times for start, end in segments if start + 1e-9 < time < end - 1e-9]
    if borders[-1] in reachable and seconds > 5.0:
        assert not crossed


def test_a_pause_is_better_than_a_quiet_place_and_a_long_pause_than_a_short_one() -> None:
    """One cut is needed, between 10 and 20 seconds: it goes to the middle of the longest pause there."""
    bounds = Bounds(10000, 20000)
    assert cut_times(sounds(30.0, [(12.0, 12.2), (15.0, 16.0), (4.0, 8.0)], []), bounds) == [0.0, 15.5, 30.0]
    quiet = sounds(30.0, [], [])
    quiet.levels[1310:1320] = 0.2
    (_, middle, _) = cut_times(quiet, bounds)
    assert 13.1 <= middle <= 13.2


def test_the_longest_pause_gives_way_to_a_whole_segment() -> None:
    """A pause inside of a sentence is left for a border without one."""
    recording = sounds(30.0, [(15.0, 16.0)], [(0.0, 12.0), (12.0, 19.0), (19.0, 30.0)])
    assert cut_times(recording, Bounds(10000, 20000)) in ([0.0, 12.0, 30.0], [0.0, 19.0, 30.0])


def test_a_border_between_samples_is_kept_as_it_is() -> None:
    """So that neither neighbour is cut by half a sample; rounding in sums is no overlap."""
    border = 0.1 * 3  # 0.30000000000000004
    recording = sounds(0.6, [], [(0.0, border), (0.3, 0.6)])
    assert cut_times(recording, Bounds(200, 400)) == [0.0, border, 0.6]
    assert cut_times(sounds(0.6, [], [(0.0, 0.30037), (0.30037, 0.6)]), Bounds(200, 400))[1] == 0.30037


def test_pauses_are_what_is_left_between_spans() -> None:
    """Overlapping spans count once; what is shorter than the least is none."""
    assert pauses_between([(1.0, 2.0), (1.5, 3.0), (3.05, 4.0)], 6.0, 0.1) == [(0.0, 1.0), (4.0, 6.0)]
    assert pauses_between([], 6.0, 0.1) == [(0.0, 6.0)]
    assert pauses_between([(0.0, 6.0)], 6.0, 0.0) == []


@pytest.mark.parametrize(
    ("mask", "expected"), [("", []), ("0", []), ("1", [(0, 1)]), ("0110", [(1, 3)]), ("10011", [(0, 1), (3, 5)])]
)
def test_runs_are_the_stretches_that_are_true(mask: str, expected: list[tuple[int, int]]) -> None:
    """First, and after the last."""
    assert runs(np.array([character == "1" for character in mask], dtype=bool)) == expected
