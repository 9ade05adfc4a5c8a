"""Checks annotations: their form, that they lie inside of what they annotate, and their way back to the raw data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mmdata.lineage import Affine, Edits, Map, Step, TimeMap, composed, steps_in
from mmdata.validation.described import Described
from mmdata.validation.findings import Notes, shown
from mmdata.validation.lineage import read_steps
from mmdata.values import Audio, Image, Text, Value, Video

KINDS: dict[str, tuple[str, ...]] = {
    "image": ("boxes", "points"), "audio": ("segments",), "video": ("times", "segments", "frame_boxes"), "text": ("spans",),
    "tokens": ("offsets",), "array": (),
}  # fmt: skip
_NUMBERS = {"boxes": 4, "points": 2, "segments": 2, "frame_boxes": 5, "spans": 2}
_NO_NOTES = frozenset(["offsets", "times"])
"""What stands among the annotations but belongs to the value itself."""
_TOLERANCE = 1e-6

Note = Sequence[Any]


def check_annotations(values: Mapping[str, Value | None], described: Described, kinds: Mapping[str, str], notes: Notes) -> None:
    """Check annotations and lineage of all fields of a record; `values` are those that could be decoded."""
    for part, by_field in (("annotations", described.annotations), ("lineage", described.lineage)):
        for name in by_field.keys() - kinds.keys():
            notes.error(part, f"there is no field {shown(name)}")
    for name, kind in kinds.items():
        notes.covered("lineage")
        steps = read_steps(name, kind, described.lineage.get(name, []), notes)
        held = _read(name, kind, described.annotations[name], notes) if name in described.annotations else {}
        for note_kind, found in held.items():
            notes.covered("annotations", len(found))
            if name in values:
                _check_inside(f"{name}.{note_kind}", note_kind, found, values[name], notes)
            if steps:
                _check_way_back(f"{name}.{note_kind}", found, steps, described.input_bytes(name), notes)


def _read(name: str, kind: str, held: object, notes: Notes) -> dict[str, list[Note]]:
    """Return the well-formed annotations of a field by kind, without offsets and times; the others are noted."""
    if not isinstance(held, dict) or not held:
        notes.error("annotations", f"{name}: must be an object with at least one list, not {shown(held)}")
        return {}
    good: dict[str, list[Note]] = {}
    for note_kind, found in held.items():
        if note_kind not in KINDS.get(kind, ()):
            notes.error("annotations", f"{name}: a field of kind {kind} has no {note_kind!r}")
        elif not isinstance(found, list) or not found:
            notes.error("annotations", f"{name}.{note_kind}: must be a list that is not empty, not {shown(found)}")
        elif note_kind not in _NO_NOTES:
            wrong = [note for note in found if not _is_note(note, note_kind)]
            if wrong:
                notes.error("annotations", f"{name}.{note_kind}: {shown(wrong[0])} is malformed")
            good[note_kind] = [note for note in found if _is_note(note, note_kind)]
    return good


def _is_note(note: object, kind: str) -> bool:
    count = _NUMBERS[kind]
    if not isinstance(note, list) or len(note) != count + (1 if kind == "points" else 2):
        return False
    numbers, label, clipped = note[:count], note[count], note[count + 1 :]
    is_number = _is_integer if kind == "spans" else _is_finite
    return all(map(is_number, numbers)) and isinstance(label, str) and all(isinstance(value, bool) for value in clipped)


def _is_integer(value: object) -> bool:
    return type(value) is int


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _check_inside(place: str, kind: str, found: Sequence[Note], value: Value | None, notes: Notes) -> None:
    match value:
        case Image():
            height, width = value.pixels.shape[:2]
            outside = [note for note in found if not _is_in_picture(note, kind, width, height)]
            extent = f"the picture of {width} x {height} pixels"
        case Audio():
            # Rounding to whole samples may move the end of a recording by one of them.
            most = value.seconds + 1 / value.rate + _TOLERANCE
            outside = [note for note in found if not -_TOLERANCE <= note[0] <= note[1] <= most]
            extent = f"the recording of {value.seconds:g} seconds"
        case Video() if kind == "segments":
            outside = [note for note in found if not -_TOLERANCE <= note[0] <= note[1] <= value.seconds + _TOLERANCE]
            extent = f"the clip of {value.seconds:g} seconds"
        case Video():
            height, width = value.frames.shape[1:3]
            timely = [-_TOLERANCE <= note[0] <= value.seconds + _TOLERANCE for note in found]
            inside = [_is_in_picture(note[1:], "boxes", width, height) for note in found]
            outside = [note for note, *fits in zip(found, timely, inside, strict=True) if not all(fits)]
            extent = f"the clip of {value.seconds:g} seconds and {width} x {height} pixels"
        case Text():
            outside = [note for note in found if not 0 <= note[0] <= note[1] <= len(value.text)]
            extent = f"the text of {len(value.text)} characters"
        case _:
            outside, extent = list(found), "a field that is absent"
    if outside:
        notes.error("annotations", f"{place}: {len(outside)} not inside of {extent}, such as {shown(outside[0])}")


def _is_in_picture(note: Note, kind: str, width: int, height: int) -> bool:
    if kind == "points":
        return bool(-_TOLERANCE <= note[0] <= width + _TOLERANCE and -_TOLERANCE <= note[1] <= height + _TOLERANCE)
    is_in_x = -_TOLERANCE <= note[0] < note[2] <= width + _TOLERANCE
    return bool(is_in_x and -_TOLERANCE <= note[1] < note[3] <= height + _TOLERANCE)


def _check_way_back(place: str, found: Sequence[Note], steps: Sequence[Step], raw_bytes: int | None, notes: Notes) -> None:
    """Check that every annotation has a place in the raw data."""
    try:
        if (back := raw_places(place.rpartition(".")[2], steps)) is None:
            return
        lost = [note for note in found if not _is_raw(back(note), raw_bytes if steps_in(steps, Edits) else None)]
    except (ZeroDivisionError, OverflowError) as error:
        notes.error("lineage", f"{place}: it cannot be taken back to the raw data: {error}")
        return
    if lost:
        notes.error("lineage", f"{place}: {shown(lost[0])} has no place in the raw data: it comes back as {back(lost[0])}")


def raw_places(kind: str, steps: Sequence[Step]) -> Callable[[Note], list[float]] | None:
    """Return what takes annotations of a kind back through the steps of their field; None where no step moved them.

    It gives their numbers as coordinates of the raw data; a box comes back as the upright hull of its corners. Raises
    ZeroDivisionError for a map that cannot be undone.
    """
    times, pixels = composed(steps_in(steps, TimeMap)), composed(steps_in(steps, Affine))
    if kind == "frame_boxes":
        moment, corners = (_way_back(whole) if whole else None for whole in (times, pixels))
        return lambda note: [
            *(moment([note[0], note[0], ""])[:1] if moment else note[:1]),
            *(corners(note[1:]) if corners else note[1:5]),
        ]
    whole = times if kind == "segments" else composed(steps)
    return None if whole is None else _way_back(whole)


def _way_back(whole: Map) -> Callable[[Note], list[float]]:
    inverse = whole.inverse()
    match inverse:
        case Affine():
            return lambda note: _raw_pixels(note, inverse)
        case TimeMap():
            return lambda note: [inverse.forward(note[0]), inverse.forward(note[1])]
        case Edits():
            return lambda note: [inverse.forward(note[0]), inverse.forward(note[1], end=True)]


def _raw_pixels(note: Note, inverse: Affine) -> list[float]:
    if isinstance(note[2], str):
        return [float(number) for number in inverse.forward(np.array([note[:2]], dtype=np.float64))[0]]
    corners = np.array([[x, y] for x in (note[0], note[2]) for y in (note[1], note[3])], dtype=np.float64)
    moved = inverse.forward(corners)
    return [float(number) for number in (*moved.min(axis=0), *moved.max(axis=0))]


def _is_raw(numbers: Sequence[float], raw_bytes: int | None) -> bool:
    """Whether raw coordinates are finite; those of a text lie in it, which has at most as many characters as bytes."""
    if not all(map(math.isfinite, numbers)):
        return False
    return raw_bytes is None or all(0 <= number <= raw_bytes for number in numbers)
