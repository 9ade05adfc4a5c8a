"""Where to cut a long recording into clips of bounded length: in pauses, and between the segments of a transcript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Spans = Sequence[tuple[float, float]]

_GRID_SECONDS = 0.1  # at least one place to cut in each stretch of this length
_TOUCHING = 1e-9  # seconds; what two segments share may be an error of rounding
_COMFORT_SECONDS = 1.0  # further than this from the next sound, no place in a pause is better than another

# Each outweighs all that stand below it, for recordings of up to a day.
_COST_OF_SEGMENT = 1e12
_COST_OF_SOUND = 1e6
_COST_OF_CUT = 1.0


@dataclass(frozen=True)
class Bounds:
    """The shortest and the longest clip in samples; the shortest is at most half of the longest."""

    shortest: int
    longest: int


@dataclass(frozen=True, eq=False)
class Sounds:
    """What stands in the way of a cut.

    Attributes:
        rate: samples a second, in Hz.
        samples: the length of the recording.
        levels: the loudness of each frame of two hops, 0 (silent) to 1 (as loud as the loudest).
        hop: samples from one frame to the next.
        pauses: (start, end) in seconds where nothing sounds, in order and apart.
        segments: (start, end) in seconds of what had better stay in one clip; they may overlap.
    """

    rate: int
    samples: int
    levels: Floats
    hop: int
    pauses: Spans
    segments: Spans


def cut_times(sounds: Sounds, bounds: Bounds) -> list[float]:
    """Return the borders of the clips in seconds, in order, from 0 to the end of the recording.

    Chosen by dynamic programming among all ways to keep the bounds: as few cuts as possible inside segments; among those, as few
    as possible outside of pauses, and there where it is quiet; among those, as few as possible, and as far as possible from any
    sound, up to a second. A border between two segments that touch is kept as it is; any other is at a sample.
    """
    times, positions = _candidates(sounds, bounds)
    costs = _costs(times, sounds)
    best, previous = np.full(len(times), np.inf), np.zeros(len(times), dtype=np.intp)
    best[0] = 0.0
    first = np.searchsorted(positions, positions - bounds.longest, side="left")
    last = np.searchsorted(positions, positions - bounds.shortest, side="right")
    for place in range(1, len(times)):
        if first[place] < last[place]:
            previous[place] = first[place] + np.argmin(best[first[place] : last[place]])
            best[place] = best[previous[place]] + costs[place]
    chosen = [len(times) - 1]
    while chosen[-1] > 0:
        chosen.append(int(previous[chosen[-1]]))
    return [float(times[place]) for place in reversed(chosen)]


def _candidates(sounds: Sounds, bounds: Bounds) -> tuple[Floats, NDArray[np.int64]]:
    """Return the places where a cut may be, in seconds and in samples, both [places], in order; the two ends among them."""
    rate, samples = sounds.rate, sounds.samples
    count = -(-samples // bounds.longest)
    even = [samples * part // count for part in range(1, count)]  # always possible, wherever the sounds are
    middles = [round((start + end) / 2 * rate) for start, end in sounds.pauses]
    inside = np.array([place for place in (*even, *middles, *_quiet_places(sounds)) if 0 < place < samples], dtype=np.int64)
    borders = np.array([time for time in _borders(sounds.segments) if 0 < round(time * rate) < samples])
    times = np.concatenate([[0.0, samples / rate], borders, inside / rate])
    # Of several at one sample the first is kept: an end, then a border.
    positions, kept = np.unique(np.rint(times * rate).astype(np.int64), return_index=True)
    return times[kept], positions


def _quiet_places(sounds: Sounds) -> list[int]:
    """Return the sample in the middle of the quietest frame of each tenth of a second."""
    block = max(1, round(_GRID_SECONDS * sounds.rate / sounds.hop))
    starts = range(0, len(sounds.levels), block)
    quietest = (start + int(np.argmin(sounds.levels[start : start + block])) for start in starts)
    return [(frame + 1) * sounds.hop for frame in quietest]


def _borders(segments: Spans) -> list[float]:
    """Return the middle of each gap between segments, or the border where two touch."""
    borders, reached = [], 0.0
    for start, end in sorted(segments):
        if start >= reached - _TOUCHING:
            borders.append(reached if start <= reached + _TOUCHING else (reached + start) / 2)
        reached = max(reached, end)
    return [*borders, reached]


def _costs(times: Floats, sounds: Sounds) -> Floats:
    """Return what a cut at each of the times costs; the ends of the recording cost nothing."""
    starts, ends = (np.sort([span[side] for span in sounds.segments]) for side in (0, 1))
    begun = np.searchsorted(starts, times - _TOUCHING, side="left")
    crossed = np.maximum(begun - np.searchsorted(ends, times + _TOUCHING, side="right"), 0)
    frames = np.clip(np.rint(times * sounds.rate / sounds.hop).astype(np.intp) - 1, 0, len(sounds.levels) - 1)
    distance = _distance_to_sound(times, sounds)
    in_pause = _COST_OF_CUT * (2.0 - np.minimum(distance, _COMFORT_SECONDS) / _COMFORT_SECONDS)
    costs = np.where(distance > 0.0, in_pause, _COST_OF_SOUND * (1.0 + sounds.levels[frames])) + _COST_OF_SEGMENT * crossed
    costs[[0, -1]] = 0.0
    return np.asarray(costs)


def _distance_to_sound(times: Floats, sounds: Sounds) -> Floats:
    """Return how far each of the times is from the next sound, in seconds; 0 where it is not in a pause.

    What lies beyond the ends of the recording is taken for silence.
    """
    length = sounds.samples / sounds.rate
    distance = np.zeros(len(times))
    for start, end in sounds.pauses:
        inside = slice(*np.searchsorted(times, [start, end]))
        low, high = -np.inf if start <= 0.0 else start, np.inf if end >= length else end
        distance[inside] = np.minimum(times[inside] - low, high - times[inside])
    return distance


def pauses_between(spans: Spans, seconds: float, shortest: float) -> list[tuple[float, float]]:
    """Return what of a recording of `seconds` lies in no span and lasts at least `shortest` seconds: (start, end), in order."""
    gaps, reached = [], 0.0
    for start, end in sorted(spans):
        gaps.append((reached, start))
        reached = max(reached, end)
    return [(start, end) for start, end in (*gaps, (reached, seconds)) if end > start and end - start >= shortest]


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the stretches of a mask that are true, as (first, after the last), in order."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
