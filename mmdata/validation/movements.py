"""What a stage did to the places of a field, in words: for people who look at a record, in a terminal or on a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmdata.lineage import Affine, Edits, Map, Step, TimeMap, composed, steps_in
from mmdata.wording import counted

_MOST_PIECES = 5
_TOLERANCE = 1e-3


def moved(step: Step) -> str:
    """Return what a step did, and how many annotations it removed where it did."""
    removed = f"; {counted(step.removed, 'annotation')} removed" if step.removed else ""
    return f"{step.stage}: {_words(step.map)}{removed}"


def raw_part(size: tuple[int, int] | None, steps: Sequence[Step]) -> str | None:
    """Return which part of the raw data is held, in its own coordinates; None where no stage moved anything that tells it.

    `size` are width and height of a picture as it now is. A part may go beyond the raw picture, where that was padded.
    Raises ZeroDivisionError for a map that cannot be undone.
    """
    pixels, times = composed(steps_in(steps, Affine)), composed(steps_in(steps, TimeMap))
    parts = []
    if isinstance(pixels, Affine) and size is not None:
        inverse = pixels.inverse()
        across = [inverse.a * x + inverse.b * y + inverse.c for x in (0, size[0]) for y in (0, size[1])]
        down = [inverse.d * x + inverse.e * y + inverse.f for x in (0, size[0]) for y in (0, size[1])]
        corners = [*map(_number, (min(across), min(down), max(across), max(down)))]
        parts.append("left {}, top {}, right {}, bottom {} in its pixels".format(*corners))
    if isinstance(times, TimeMap) and times.pieces:
        parts.append(f"{_number(times.pieces[0][0])} s to {_number(times.pieces[-1][1])} s")
    return "; ".join(parts) or None


def _words(by: Map) -> str:
    match by:
        case Affine():
            return _pixels(by)
        case TimeMap():
            return _times(by)
        case Edits():
            return _characters(by)


def _pixels(by: Affine) -> str:
    if by == Affine():
        return "no pixel moved"
    if by.b == by.d == 0 and by.a > 0 and by.e > 0:
        return ", then ".join(filter(None, [_scale(by), _shift(by)]))
    size = math.hypot(by.a, by.d)
    if not _keeps_shapes(by, size):
        return "skewed"
    scale = "" if math.isclose(size, 1, rel_tol=_TOLERANCE) else f", scaled by {_number(size)}"
    return f"{_turn(by, is_mirrored=by.a * by.e < by.b * by.d)}{scale}"


def _keeps_shapes(by: Affine, size: float) -> bool:
    """Whether the map only turns, mirrors and scales by `size`, the length that a pixel's width comes to."""
    is_even = math.isclose(size, math.hypot(by.b, by.e), rel_tol=_TOLERANCE)
    return size > 0 and is_even and abs(by.a * by.b + by.d * by.e) <= _TOLERANCE * size**2


def _turn(by: Affine, *, is_mirrored: bool) -> str:
    """Say a map that keeps shapes. One that mirrors is a mirror from left to right, then a turn."""
    sign = -1 if is_mirrored else 1
    degrees = math.degrees(math.atan2(sign * by.d, sign * by.a))
    if is_mirrored and math.isclose(abs(degrees), 180):
        return "mirrored top to bottom"
    turn = f"turned by {_number(abs(degrees))}°"
    if not math.isclose(abs(degrees), 180):
        turn += " clockwise" if degrees > 0 else " anticlockwise"
    if not is_mirrored:
        return turn
    return f"mirrored left to right{f', then {turn}' if abs(degrees) > 1e-3 else ''}"


def _scale(by: Affine) -> str:
    if by.a == by.e == 1:
        return ""
    if math.isclose(by.a, by.e, rel_tol=_TOLERANCE):
        return f"scaled by {_number(by.a)}"
    return f"scaled by {_number(by.a)} across, {_number(by.e)} down"


def _shift(by: Affine) -> str:
    sides = [(by.c, "right"), (-by.c, "left"), (by.f, "down"), (-by.f, "up")]
    return " and ".join(f"{_number(pixels)} pixel{'' if pixels == 1 else 's'} {side}" for pixels, side in sides if pixels > 0)


def _times(by: TimeMap) -> str:
    if not by.pieces:
        return "nothing kept"
    kept = [f"{_number(raw_start)} s to {_number(raw_end)} s" for raw_start, raw_end, _, _ in by.pieces[:_MOST_PIECES]]
    more = f" and {len(by.pieces) - _MOST_PIECES:,} pieces more" if len(by.pieces) > _MOST_PIECES else ""
    before = by.pieces[0][2]
    return f"kept {', '.join(kept)}{more}" + (f", which now begins at {_number(before)} s" if before > 0 else "")


def _characters(by: Edits) -> str:
    if not by.runs:
        return "no character moved"
    before = sum(end - start for start, end, _, _ in by.runs)
    after = sum(end - start for _, _, start, end in by.runs)
    return f"{counted(before, 'character')} became {after:,}, in {counted(len(by.runs), 'place')}"


def _number(value: float) -> str:
    return f"{value:.5g}"
