"""Coordinate maps: forward, backward and composition agree for every kind of map."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdata.lineage import Affine, Edits, Map, Step, TimeMap, composed

_NUMBER = st.floats(-4, 4)
_POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [7.5, -3.25]])


@st.composite
def affines(draw: st.DrawFn) -> Affine:
    """Maps that are far from flattening the plane."""
    turn, stretch = draw(st.floats(0, 6.28)), draw(st.floats(0.25, 4))
    cos, sin = np.cos(turn) * stretch, np.sin(turn) * stretch
    return Affine(float(cos), float(-sin), draw(_NUMBER), float(sin), float(cos), draw(_NUMBER))


@st.composite
def timemaps(draw: st.DrawFn) -> TimeMap:
    """Pieces with gaps on either side; the numbers are eighths, so arithmetic is nearly exact."""
    raw = new = 0.0
    pieces = []
    for _ in range(draw(st.integers(1, 4))):
        raw += draw(st.integers(0, 8)) / 8
        new += draw(st.integers(0, 8)) / 8
        raw_length, new_length = draw(st.integers(1, 16)) / 8, draw(st.integers(1, 16)) / 8
        pieces.append((raw, raw + raw_length, new, new + new_length))
        raw, new = raw + raw_length, new + new_length
    return TimeMap(tuple(pieces))


@st.composite
def replacements(draw: st.DrawFn, length: int) -> list[tuple[int, int, str]]:
    """Replacements in order in a text of this length; some touch, some insert, some delete."""
    borders = sorted(draw(st.lists(st.integers(0, length), max_size=8)))
    pairs = zip(borders[::2], borders[1::2], strict=False)
    return [(start, end, draw(st.text("XYZ", max_size=3))) for start, end in pairs]


def apply(text: str, items: list[tuple[int, int, str]]) -> str:
    """Replace from the end, so that earlier places stay."""
    for start, end, new in reversed(items):
        text = text[:start] + new + text[end:]
    return text


@given(affines(), affines())
def test_affine_then_is_one_after_the_other(first: Affine, second: Affine) -> None:
    """A composed map moves points where the two maps move them in turn."""
    np.testing.assert_allclose(first.then(second).forward(_POINTS), second.forward(first.forward(_POINTS)), atol=1e-9)


@given(affines())
def test_affine_backward_undoes_forward(by: Affine) -> None:
    """Points that go forward and back are where they were."""
    np.testing.assert_allclose(by.backward(by.forward(_POINTS)), _POINTS, atol=1e-9)
    np.testing.assert_allclose(by.then(by.inverse()).to_json(), Affine().to_json(), atol=1e-9)


def test_affine_follows_its_formula() -> None:
    """The formula is x' = a x + b y + c and y' = d x + e y + f, and a flat map has no inverse."""
    assert Affine(2, 3, 5, 7, 11, 13).forward(np.array([[1.0, 10.0]])).tolist() == [[37.0, 130.0]]
    assert Affine.shift(-2, 1).then(Affine.scale(2, 3)) == Affine(2, 0, -4, 0, 3, 3)
    with pytest.raises(ZeroDivisionError):
        Affine(1, 1, 0, 1, 1, 0).inverse()


@given(timemaps(), timemaps(), st.integers(0, 100))
def test_timemap_then_is_one_after_the_other(first: TimeMap, second: TimeMap, eighths: int) -> None:
    """Inside the pieces of a composed map, a time moves as by the two maps in turn."""
    both = first.then(second)
    for raw_start, raw_end, _, _ in both.pieces:
        time = raw_start + (raw_end - raw_start) * (eighths + 0.5) / 101
        assert both.forward(time) == pytest.approx(second.forward(first.forward(time)), abs=1e-9)


@given(timemaps(), timemaps(), st.integers(0, 160))
def test_timemap_then_keeps_what_both_keep(first: TimeMap, second: TimeMap, sixteenths: int) -> None:
    """A moment lies in a piece of the composed map just when it lies in pieces of both maps."""
    time = sixteenths / 16 + 1 / 64
    inside = first.keeps(time, time, tolerance=0) and second.keeps(first.forward(time), first.forward(time), tolerance=0)
    near_border = any(abs(first.forward(time) - border) < 1e-6 for piece in second.pieces for border in piece[:2])
    assert near_border or first.then(second).keeps(time, time, tolerance=0) == inside


@given(timemaps(), st.integers(1, 99))
def test_timemap_backward_undoes_forward(by: TimeMap, percent: int) -> None:
    """A time inside a piece that goes forward and back is where it was."""
    for raw_start, raw_end, _, _ in by.pieces:
        time = raw_start + (raw_end - raw_start) * percent / 100
        assert by.backward(by.forward(time)) == pytest.approx(time, abs=1e-9)


def test_timemap_moves_a_time_that_was_cut_away_to_the_next_edge() -> None:
    """Before the first piece, in a gap, after the last, and where nothing is left."""
    by = TimeMap(((1.0, 2.0, 0.0, 1.0), (3.0, 5.0, 1.0, 2.0)))
    assert [by.forward(time) for time in (0.5, 1.5, 2.5, 4.0, 9.0)] == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert TimeMap(()).forward(3.0) == 0.0
    assert TimeMap.cut(1.0, 4.0).then(TimeMap.cut(1.0, 2.0)) == TimeMap(((2.0, 3.0, 0.0, 1.0),))
    assert TimeMap.cut(0.0, 1.0).then(TimeMap.cut(2.0, 3.0)) == TimeMap(())


def test_timemap_then_does_not_stretch_over_silence_put_in() -> None:
    """A piece that begins where another one ended keeps its own start in the new time."""
    padded = TimeMap(((0.0, 1.0, 0.0, 1.0), (1.0, 2.0, 3.0, 4.0)))
    assert TimeMap.cut(0.0, 2.0).then(padded) == padded


def test_timemap_keeps_only_what_stands_in_pieces() -> None:
    """A stretch that begins where a piece ends has lost its start; one that begins where a piece begins has not."""
    by = TimeMap(((0.0, 1.0, 0.0, 1.0), (2.0, 3.0, 1.0, 2.0)))
    assert by.keeps(0.0, 1.0)
    assert by.keeps(2.0, 3.0)
    assert not by.keeps(1.0, 3.0)
    assert not by.keeps(0.0, 2.0)


@given(st.data(), st.integers(0, 12))
def test_edits_then_is_one_after_the_other(data: st.DataObject, length: int) -> None:
    """Borders outside the runs of a composed edit list move as by the two in turn, and its runs fit both texts."""
    text = "abcdefghijkl"[:length]
    items = data.draw(replacements(length))
    middle = apply(text, items)
    later = data.draw(replacements(len(middle)))
    final = apply(middle, later)
    first, second = Edits.replacing(items), Edits.replacing(later)
    both = first.then(second)
    for before, run in pairwise([(0, 0, 0, 0), *both.runs, (length, length, len(final), len(final))]):
        assert run[0] - before[1] == run[2] - before[3] >= 0
    for position in range(length + 1):
        if not any(start <= position <= end for start, end, _, _ in both.runs):
            assert both.forward(position) == second.forward(first.forward(position))
    assert both.forward(length) == len(final)
    assert both.backward(len(final)) == length
    assert both.forward(0, end=True) == both.backward(0, end=True) == 0


@given(st.data(), st.integers(0, 12))
def test_edits_map_each_border_by_its_side(data: st.DataObject, length: int) -> None:
    """As a start, a border is as far from the end of the text as what follows it; as an end, as far from its start."""
    text = "abcdefghijkl"[:length]
    items = data.draw(replacements(length))
    edits, new = Edits.replacing(items), apply(text, items)
    for position in range(length + 1):
        if not any(start < position < end for start, end, _ in items):
            before = [item for item in items if item[1] < position or (item[1] == position and item[0] < position)]
            through = [item for item in items if item[1] <= position]
            assert edits.forward(position, end=True) == len(apply(text[:position], before))
            assert edits.forward(position) == len(apply(text[:position], through))
            assert new[: edits.forward(position)] == apply(text[:position], through)
        else:
            start, end = edits.forward(position), edits.forward(position, end=True)
            run = next(run for run in edits.runs if run[0] < position < run[1])
            assert (start, end) == run[2:]


@given(st.data(), st.integers(0, 12))
def test_edits_know_what_they_deleted(data: st.DataObject, length: int) -> None:
    """A character is deleted when the replacement around it puts nothing in its place."""
    items = data.draw(replacements(length))
    edits = Edits.replacing(items)
    gone = {place for start, end, new in items if not new for place in range(start, end)}
    assert {place for place in range(length) if edits.deletes(place)} == gone


@given(st.data(), st.integers(0, 12))
def test_edits_backward_undoes_forward(data: st.DataObject, length: int) -> None:
    """A border that lies in no run goes forward and back to where it was; the inverse of the inverse is the map."""
    edits = Edits.replacing(data.draw(replacements(length)))
    assert edits.inverse().inverse() == edits
    for position in range(length + 1):
        if not any(start <= position <= end for start, end, _, _ in edits.runs):
            assert edits.backward(edits.forward(position)) == position


def test_edits_join_runs_that_touch() -> None:
    """What the first edit inserted and the second one changed is one run from the raw text to the last."""
    first, second = Edits.replacing([(2, 4, "xyz")]), Edits.replacing([(4, 6, "")])
    assert first.then(second) == Edits(((2, 5, 2, 4),))


def test_edits_need_no_run_for_one_character_that_became_one() -> None:
    """It moves no border; two that became two are one run, since their inner border is not known."""
    assert Edits.replacing([(0, 1, "x"), (2, 3, "yy"), (5, 6, "z"), (7, 9, "uv")]) == Edits(((2, 3, 2, 4), (7, 9, 8, 10)))


@pytest.mark.parametrize("wrong", [[(2, 1, "")], [(0, 3, ""), (2, 4, "")], [(4, 5, ""), (0, 1, "")]])
def test_edits_refuse_replacements_out_of_order(wrong: list[tuple[int, int, str]]) -> None:
    """Replacements that overlap, or go backwards, would corrupt the text in silence."""
    with pytest.raises(ValueError, match="out of order"):
        Edits.replacing(wrong)


_MAPS = st.one_of(affines(), timemaps(), st.integers(0, 12).flatmap(replacements).map(Edits.replacing))


@given(_MAPS, st.integers(0, 9))
def test_steps_go_through_json_unchanged(by: Map, removed: int) -> None:
    """A step that is written as JSON text and read again is the same step."""
    step = Step("text.normalize", by, removed)
    assert Step.from_json(json.loads(json.dumps(step.to_json()))) == step


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"stage": "a", "map": "warp", "numbers": [], "removed": 0},
        {"stage": "a", "map": "edits", "numbers": [[1]], "removed": 0},
    ],
)
def test_steps_refuse_other_json(data: dict[str, object]) -> None:
    """A step that misses a key, names no map, or has too few numbers is refused."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        Step.from_json(data)


def test_composed_joins_all_steps() -> None:
    """No steps give no map; several give the one from the raw data to the last."""
    steps = [
        Step("image.crop", Affine.shift(-2, -3)),
        Step("image.resize", Affine.scale(2, 2)),
        Step("image.crop", Affine.shift(-1, 0)),
    ]
    assert composed([]) is None
    assert composed(steps) == Affine(2, 0, -5, 0, 2, -6)
