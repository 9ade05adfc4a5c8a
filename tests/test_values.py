"""Values hold their contract, and their annotations follow when their coordinates move."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdata.lineage import Affine, Edits, TimeMap
from mmdata.values import Array, Audio, Box, Image, Point, Segment, Span, Text, Tokens


def picture(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Black pixels [height, width, 3]."""
    return np.zeros((height, width, 3), dtype=np.uint8)


def silence(seconds: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """One channel of zeros at 100 Hz."""
    return np.zeros((1, round(seconds * 100)), dtype=np.float32)


def test_spans_follow_a_replacement() -> None:
    """A span after a longer replacement is shifted, one around it grows, and the words stay the same."""
    text = Text("the cat sat", (Span(4, 7, "animal"), Span(8, 11, "verb"), Span(0, 11, "all")))
    edited = text.edited([(0, 3, "a black")], "text.test")
    assert edited.text == "a black cat sat"
    assert [edited.text[span.start : span.end] for span in edited.spans] == ["cat", "sat", "a black cat sat"]
    assert not any(span.clipped for span in edited.spans)
    assert [(step.stage, step.map, step.removed) for step in edited.lineage] == [("text.test", Edits(((0, 3, 0, 7),)), 0)]


def test_spans_that_are_deleted_are_counted_and_cut_ones_are_marked() -> None:
    """One wholly in deleted characters goes; one that loses its first or last character is clipped; a hole is no cut."""
    text = Text(
        "one two three", (Span(4, 7, "gone"), Span(0, 6, "tail"), Span(0, 8, "gap"), Span(4, 13, "head"), Span(0, 13, "hole"))
    )
    edited = text.edited([(4, 8, "")], "text.test")
    assert edited.text == "one three"
    assert edited.spans == (
        Span(0, 4, "tail", clipped=True),
        Span(0, 4, "gap", clipped=True),
        Span(4, 9, "head", clipped=True),
        Span(0, 9, "hole"),
    )
    assert edited.lineage[0].removed == 1


def test_a_span_does_not_take_in_what_is_inserted_at_its_ends() -> None:
    """Insertions at a border stay outside of a span; an empty span stays, and stays empty."""
    edited = Text("ab", (Span(0, 2, "all"), Span(1, 1, "caret"))).edited([(0, 0, "<"), (1, 1, "-"), (2, 2, ">")], "text.test")
    assert edited.text == "<a-b>"
    assert edited.spans == (Span(1, 4, "all"), Span(3, 3, "caret"))


def test_a_text_without_change_is_the_same_object() -> None:
    """Replacements by what stands there already are none."""
    text = Text("abc")
    assert text.edited([(0, 1, "a"), (2, 2, "")], "text.test") is text


@given(st.data(), st.text("abc ", max_size=12))
def test_a_span_still_covers_the_characters_that_were_left_alone(data: st.DataObject, raw: str) -> None:
    """What a span covers after random edits is what its own characters became."""
    borders = sorted(data.draw(st.lists(st.integers(0, len(raw)), min_size=2, max_size=6)))
    items = [(s, e, data.draw(st.text("XY", max_size=2))) for s, e in zip(borders[::2], borders[1::2], strict=False)]
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(raw)), st.integers(0, len(raw)))))
    edited = Text(raw, (Span(start, end),)).edited(items, "text.test")
    removed = sum(step.removed for step in edited.lineage)
    assert len(edited.spans) == 1 - removed
    survivors = [i for i in range(start, end) if not any(s <= i < e for s, e, _ in items)]
    for span in edited.spans:
        assert 0 <= span.start <= span.end <= len(edited.text)
        kept = edited.text[span.start : span.end]
        assert "".join(c for c in kept if c not in "XY") == "".join(raw[i] for i in survivors)
    assert edited.spans or not survivors


def test_boxes_and_points_follow_a_crop() -> None:
    """A box inside is shifted, one over the border is clipped and marked, one outside is removed and counted."""
    boxes = (Box(3, 3, 5, 5, "in"), Box(0, 0, 4, 4, "cut"), Box(8, 8, 9, 9, "out"))
    image = Image(picture(10, 10), boxes, (Point(3, 3, "in"), Point(0, 0, "out")))
    moved = image.moved(picture(5, 5), Affine.shift(-2, -2), "image.crop")
    assert moved.boxes == (Box(1, 1, 3, 3, "in"), Box(0, 0, 2, 2, "cut", clipped=True))
    assert moved.points == (Point(1, 1, "in"),)
    assert [(step.stage, step.map, step.removed) for step in moved.lineage] == [("image.crop", Affine.shift(-2, -2), 2)]


def test_boxes_stay_clipped_and_rounding_does_not_clip() -> None:
    """The mark of an earlier cut stays; a resize that moves a border by rounding alone sets none."""
    image = Image(picture(3, 3), (Box(0, 0, 3, 3, "all"), Box(0, 0, 1, 1, "old", clipped=True)))
    moved = image.moved(picture(7, 7), Affine.scale(7 / 3 * (1 + 1e-12), 7 / 3), "image.resize")
    assert [box.clipped for box in moved.boxes] == [False, True]
    assert moved.boxes[0].right == 7


def test_a_turned_box_becomes_its_upright_hull() -> None:
    """A quarter turn maps a box on the box around its moved corners."""
    image = Image(picture(4, 6), (Box(1, 1, 2, 5, "tall"),))
    turned = image.moved(picture(6, 4), Affine(0, -1, 6, 1, 0, 0), "image.turn")
    assert turned.boxes == (Box(1, 1, 5, 2, "tall"),)


@given(st.floats(0.2, 3), st.floats(-20, 20), st.floats(-20, 20), st.integers(1, 20), st.integers(1, 20))
def test_boxes_are_inside_or_counted(scale: float, x: float, y: float, width: int, height: int) -> None:
    """After any move each box has area inside the picture, or is counted as removed."""
    image = Image(picture(10, 10), (Box(0, 0, 10, 10), Box(2, 2, 3, 4), Box(9, 0, 10, 1)))
    moved = image.moved(picture(width, height), Affine.scale(scale, scale).then(Affine.shift(x, y)), "image.test")
    assert len(moved.boxes) + moved.lineage[0].removed == 3
    for box in moved.boxes:
        assert 0 <= box.left < box.right <= width
        assert 0 <= box.top < box.bottom <= height


def test_segments_follow_a_trim() -> None:
    """A segment inside is shifted, one over an end is clipped and marked, one outside is removed and counted."""
    segments = (Segment(1.5, 2, "in"), Segment(0, 1.5, "cut"), Segment(2.5, 9, "both"), Segment(0, 1, "out"))
    audio = Audio(silence(4), 100, segments)
    moved = audio.retimed(silence(2), TimeMap.cut(1, 3), "audio.trim")
    assert moved.segments == (Segment(0.5, 1, "in"), Segment(0, 0.5, "cut", clipped=True), Segment(1.5, 2, "both", clipped=True))
    assert (moved.lineage[0].removed, moved.rate, moved.seconds) == (1, 100, 2.0)


def test_segments_beside_a_gap_are_not_marked() -> None:
    """Where a silence inside was cut out, the segments around it are whole; one that began in it lost its start."""
    by = TimeMap(((0.0, 1.0, 0.0, 1.0), (2.0, 3.0, 1.0, 2.0)))
    segments = (Segment(0.5, 1, "before"), Segment(2, 3, "after"), Segment(1, 3, "over"), Segment(1.2, 1.8, "silence"))
    moved = Audio(silence(3), 100, segments).retimed(silence(2), by, "audio.trim")
    assert moved.segments == (Segment(0.5, 1, "before"), Segment(1, 2, "after"), Segment(1, 2, "over", clipped=True))
    assert moved.lineage[0].removed == 1


def test_a_new_rate_leaves_seconds_alone() -> None:
    """Resampling changes the rate and no time."""
    audio = Audio(silence(1), 100, (Segment(0.25, 0.5, "word"),))
    moved = audio.retimed(np.zeros((1, 160), dtype=np.float32), TimeMap.cut(0, 1), "audio.resample", rate=160)
    assert (moved.rate, moved.seconds, moved.segments) == (160, 1.0, audio.segments)


def test_arrays_of_values_are_read_only() -> None:
    """A value is shared, so none of its arrays can be written."""
    tokens = Tokens(np.zeros(2, dtype=np.int32), np.zeros((2, 2), dtype=np.int32))
    arrays = (tokens.ids, tokens.offsets, Image(picture(2, 2)).pixels, Audio(silence(1), 8).samples, Array(np.ones(3)).array)
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Image(np.zeros((2, 2, 3), dtype=np.float32)), "pixels must be uint8"),
        (lambda: Image(np.zeros((2, 2), dtype=np.uint8)), "pixels must be uint8 with 3"),
        (lambda: Image(np.zeros((2, 2, 4), dtype=np.uint8)), "height, width, 3"),
        (lambda: Audio(np.zeros((1, 2)), 8), "samples must be float32"),  # type: ignore[arg-type]
        (lambda: Audio(np.zeros(2, dtype=np.float32), 8), "samples must be float32 with 2"),
        (lambda: Audio(np.zeros((1, 2), dtype=np.float32)), "rate"),
        (lambda: Tokens(np.zeros(2, dtype=np.int64), np.zeros((2, 2), dtype=np.int32)), "token ids"),
        (lambda: Tokens(np.zeros(2, dtype=np.int32), np.zeros((3, 2), dtype=np.int32)), "token offsets"),
        (lambda: Array(np.array(["a"])), "numeric"),
        (lambda: Array(np.array([None])), "numeric"),
    ],
)
def test_a_wrong_dtype_or_shape_is_refused(make: Any, message: str) -> None:
    """A value that breaks its contract cannot be made."""
    with pytest.raises(ValueError, match=message):
        make()


def test_encoded_and_decoded_are_told_apart() -> None:
    """Pixels of an encoded picture, and the bytes of a decoded one, are errors; so with recordings."""
    with pytest.raises(TypeError, match="still encoded"):
        _ = Image(b"x").pixels
    with pytest.raises(TypeError, match="already decoded"):
        _ = Image(picture(1, 1)).encoded
    with pytest.raises(TypeError, match="still encoded"):
        _ = Audio(b"x").samples
    with pytest.raises(TypeError, match="already decoded"):
        _ = Audio(silence(1), 8).encoded
    assert (Image(b"x").encoded, Audio(b"y").encoded) == (b"x", b"y")


def test_values_cross_process_borders() -> None:
    """A pickled value comes back with its content and annotations."""
    image = Image(picture(2, 3), (Box(0, 0, 1, 1, "a"),), (Point(1, 1),)).moved(picture(2, 3), Affine(), "image.test")
    again = pickle.loads(pickle.dumps(image))
    assert (again.boxes, again.points, again.lineage) == (image.boxes, image.points, image.lineage)
    assert np.array_equal(again.pixels, image.pixels)
