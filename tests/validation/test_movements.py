"""What a stage did to the places of a field, in words."""

from __future__ import annotations

import pytest

from mmdata.lineage import Affine, Edits, Map, Step, TimeMap
from mmdata.validation.movements import moved, raw_part

WIDTH, HEIGHT = 40.0, 30.0
RIGHT_TO_LEFT = Affine(a=-1.0, c=WIDTH)


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (Affine(), "no pixel moved"),
        (Affine.scale(0.5, 0.5), "scaled by 0.5"),
        (Affine.scale(0.5, 0.4), "scaled by 0.5 across, 0.4 down"),
        (Affine.shift(-3, 2.5), "3 pixels left and 2.5 pixels down"),
        (Affine.scale(2, 2).then(Affine.shift(4, 0)), "scaled by 2, then 4 pixels right"),
        (RIGHT_TO_LEFT, "mirrored left to right"),
        (Affine(e=-1.0, f=HEIGHT), "mirrored top to bottom"),
        (RIGHT_TO_LEFT.then(Affine(e=-1.0, f=HEIGHT)), "turned by 180°"),
        # x' = height - y, y' = x: the top left corner comes to the top right one.
        (Affine(a=0.0, b=-1.0, c=HEIGHT, d=1.0, e=0.0), "turned by 90° clockwise"),
        (Affine(a=0.0, b=1.0, d=-1.0, e=0.0, f=WIDTH), "turned by 90° anticlockwise"),
        # x' = y, y' = x: as a mirror from left to right, then a turn.
        (Affine(a=0.0, b=1.0, d=1.0, e=0.0), "mirrored left to right, then turned by 90° anticlockwise"),
        (Affine.scale(-0.5, 0.5), "mirrored left to right, scaled by 0.5"),
        (Affine(b=0.5), "skewed"),
        (Affine(a=0.0, b=0.0, d=0.0, e=0.0), "skewed"),
        (TimeMap.cut(0.5, 2.25), "kept 0.5 s to 2.25 s"),
        (TimeMap(((0.0, 1.0, 0.0, 1.0), (2.0, 3.0, 1.0, 2.0))), "kept 0 s to 1 s, 2 s to 3 s"),
        (TimeMap(((0.0, 1.0, 0.25, 1.25),)), "kept 0 s to 1 s, which now begins at 0.25 s"),
        (TimeMap(tuple((float(n), n + 0.5, n / 2, n / 2 + 0.5) for n in range(8))), None),
        (TimeMap(()), "nothing kept"),
        (Edits(), "no character moved"),
        (Edits.replacing([(0, 2, ""), (5, 6, "ss")]), "3 characters became 2, in 2 places"),
    ],
)
def test_every_map_has_words(by: Map, words: str | None) -> None:
    """A person reads what happened, not coefficients; of many pieces the first ones and the count of the others."""
    said = moved(Step("image.some", by))
    many = "kept 0 s to 0.5 s, 1 s to 1.5 s, 2 s to 2.5 s, 3 s to 3.5 s, 4 s to 4.5 s and 3 pieces more"
    assert said == f"image.some: {many if words is None else words}"


def test_removed_annotations_are_said_where_there_are_any() -> None:
    """A zero that stands in every line would be read by nobody."""
    assert moved(Step("image.crop", Affine.shift(-1, 0), 1)) == "image.crop: 1 pixel left; 1 annotation removed"
    assert "removed" not in moved(Step("image.crop", Affine.shift(-1, 0)))


def test_the_part_of_the_raw_data_follows_from_all_steps() -> None:
    """Pixels and seconds are those of the raw data; what is padded goes beyond it."""
    steps = [Step("image.resize", Affine.scale(0.5, 0.5)), Step("image.crop", Affine.shift(-5, 3))]
    assert raw_part((20, 10), steps) == "left 10, top -6, right 50, bottom 14 in its pixels"
    cut = [Step("audio.trim", TimeMap.cut(1.0, 3.0)), Step("audio.clip", TimeMap.cut(0.5, 1.5))]
    assert raw_part(None, cut) == "1.5 s to 2.5 s"
    assert raw_part((20, 10), [*steps[:1], *cut]) == "left 0, top 0, right 40, bottom 20 in its pixels; 1.5 s to 2.5 s"
    assert raw_part(None, [Step("text.normalize", Edits())]) is None
    assert raw_part((20, 10), []) is None
