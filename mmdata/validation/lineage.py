"""Checks the steps of a lineage: each map is of the kind that its field has, and well formed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mmdata.lineage import Step
from mmdata.validation.findings import Notes, shown

_MAPS = {"image": ("affine",), "audio": ("timemap",), "video": ("timemap", "affine"), "text": ("edits",)}
_KEYS = {"stage": str, "map": str, "numbers": list, "removed": int}
_TOLERANCE = 1e-9


def read_steps(name: str, kind: str, steps: object, notes: Notes) -> list[Step] | None:
    """Return the steps of a field; None where one is malformed, which is noted."""
    if not isinstance(steps, list):
        notes.error("lineage", f"{name}: must be a list of steps, not {shown(steps)}")
        return None
    for number, step in enumerate(steps):
        if problem := _problem(step, kind):
            notes.error("lineage", f"{name}, step {number}: {problem}")
            return None
    return [Step.from_json(step) for step in steps]


def _problem(step: object, kind: str) -> str | None:
    """Return what is wrong with a step, if anything."""
    if not isinstance(step, dict) or step.keys() != _KEYS.keys():
        return f"must have the keys {', '.join(_KEYS)}, not {shown(step)}"
    for name, type_ in _KEYS.items():
        if type(step[name]) is not type_:
            return f"{name} must be of type {type_.__name__}, not {shown(step[name])}"
    if step["removed"] < 0 or not step["stage"]:
        return f"has no stage, or removed fewer than no annotations: {shown(step)}"
    if step["map"] not in _MAPS.get(kind, ()):
        return f"a field of kind {kind} has no map {step['map']!r}"
    return _CHECKS[step["map"]](step["numbers"])


def _affine(numbers: Sequence[Any]) -> str | None:
    if len(numbers) != 6 or not all(map(_is_finite, numbers)):
        return f"an affine map has six finite numbers, not {shown(numbers)}"
    determinant = numbers[0] * numbers[4] - numbers[1] * numbers[3]
    if not math.isfinite(determinant) or determinant == 0:
        return f"the affine map {shown(numbers)} cannot be undone"
    return None


def _timemap(pieces: Sequence[Any]) -> str | None:
    if not all(_is_four(piece) and all(map(_is_finite, piece)) for piece in pieces):
        return f"pieces must be lists of four finite numbers, not {shown(pieces)}"
    if any(raw_start > raw_end or start > end for raw_start, raw_end, start, end in pieces):
        return f"a piece ends before it begins: {shown(pieces)}"
    for before, after in pairwise(pieces):
        if before[1] > after[0] + _TOLERANCE or before[3] > after[2] + _TOLERANCE:
            return f"the pieces {shown(before)} and {shown(after)} overlap, or are out of order"
    return None


def _edits(runs: Sequence[Any]) -> str | None:
    if not all(_is_four(run) and all(type(number) is int for number in run) for run in runs):
        return f"runs must be lists of four integers, not {shown(runs)}"
    # Between runs the characters stand one to one, so the same number of them lies there on both sides.
    for before, after in pairwise([[0, 0, 0, 0], *runs]):
        if after[0] - before[1] != after[2] - before[3] or after[0] < before[1]:
            return f"the runs {shown(before)} and {shown(after)} do not fit together"
        if after[0] > after[1] or after[2] > after[3]:
            return f"the run {shown(after)} ends before it begins"
    return None


def _is_four(item: object) -> bool:
    return isinstance(item, list) and len(item) == 4


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e150


_CHECKS = {"affine": _affine, "timemap": _timemap, "edits": _edits}
