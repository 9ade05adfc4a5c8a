"""Coordinate maps: how a place in the raw data moved to where it is now, and back.

Every stage that moves coordinates appends one `Step` to the lineage of its field. The three maps share one contract:
`forward` (raw to now), `backward` (now to raw), `then` (compose), `to_json` / `from_json` (plain numbers).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Affine:
    """A map of pixel coordinates: x' = a x + b y + c, y' = d x + e y + f.

    Coordinates are continuous: (0, 0) is the outer corner of the top left pixel, its centre is (0.5, 0.5).
    """

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    @classmethod
    def scale(cls, x: float, y: float) -> Affine:
        """Stretch by `x` to the right and `y` downwards."""
        return cls(a=x, e=y)

    @classmethod
    def shift(cls, x: float, y: float) -> Affine:
        """Move right by `x` and down by `y` pixels."""
        return cls(c=x, f=y)

    def forward(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points [n, 2] (x, y) from the raw picture to the picture as it is now."""
        matrix = np.array([[self.a, self.d], [self.b, self.e]])
        moved: NDArray[np.float64] = points @ matrix + np.array([self.c, self.f])
        return moved

    def backward(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points [n, 2] (x, y) back to the raw picture."""
        return self.inverse().forward(points)

    def inverse(self) -> Affine:
        """Return the map that undoes this one. Raises ZeroDivisionError for a map that flattens the plane."""
        determinant = self.a * self.e - self.b * self.d
        a, b, d, e = self.e / determinant, -self.b / determinant, -self.d / determinant, self.a / determinant
        return Affine(a, b, -(a * self.c + b * self.f), d, e, -(d * self.c + e * self.f))

    def then(self, after: Affine) -> Affine:
        """Return the map that applies this one first and `after` second."""
        return Affine(
            a=after.a * self.a + after.b * self.d,
            b=after.a * self.b + after.b * self.e,
            c=after.a * self.c + after.b * self.f + after.c,
            d=after.d * self.a + after.e * self.d,
            e=after.d * self.b + after.e * self.e,
            f=after.d * self.c + after.e * self.f + after.f,
        )

    def to_json(self) -> list[float]:
        """Return [a, b, c, d, e, f]."""
        return [self.a, self.b, self.c, self.d, self.e, self.f]

    @classmethod
    def from_json(cls, numbers: Sequence[float]) -> Affine:
        """Read what `to_json` wrote."""
        return cls(*(float(number) for number in numbers))


@dataclass(frozen=True)
class TimeMap:
    """A piecewise-linear map of seconds: pieces (raw start, raw end, start, end), in order and without overlap.

    A time that lies in no piece was cut away; it maps to the nearest edge that follows it, or to the last one.
    """

    pieces: tuple[tuple[float, float, float, float], ...]

    @classmethod
    def cut(cls, start: float, end: float) -> TimeMap:
        """Keep [start, end) seconds; `start` becomes 0."""
        return cls(((start, end, 0.0, end - start),))

    def forward(self, seconds: float) -> float:
        """Map a raw time to the time it has now."""
        for raw_start, raw_end, start, end in self.pieces:
            if seconds <= raw_end:
                return start + _along(max(seconds, raw_start), raw_start, raw_end) * (end - start)
        return self.pieces[-1][3] if self.pieces else 0.0

    def backward(self, seconds: float) -> float:
        """Map a time as it is now back to the raw recording."""
        return self.inverse().forward(seconds)

    def inverse(self) -> TimeMap:
        """Return the map from now to raw."""
        return TimeMap(tuple((start, end, raw_start, raw_end) for raw_start, raw_end, start, end in self.pieces))

    def then(self, after: TimeMap) -> TimeMap:
        """Return the map that applies this one first and `after` second: the overlaps of both maps' pieces."""
        pieces = []
        for raw_start, raw_end, start, end in self.pieces:
            for middle_start, middle_end, new_start, new_end in after.pieces:
                low, high = max(start, middle_start), min(end, middle_end)
                if low < high:
                    raws = (raw_start + _along(t, start, end) * (raw_end - raw_start) for t in (low, high))
                    news = (new_start + _along(t, middle_start, middle_end) * (new_end - new_start) for t in (low, high))
                    pieces.append((*raws, *news))
        return TimeMap(tuple((a, b, c, d) for a, b, c, d in pieces))

    def keeps(self, start: float, end: float, *, tolerance: float = 1e-9) -> bool:
        """Whether the raw moments just after `start` and just before `end` both lie in a piece; `tolerance` is in seconds."""
        low, high = start + tolerance, end - tolerance
        first = any(raw_start <= low < raw_end for raw_start, raw_end, _, _ in self.pieces)
        return first and any(raw_start < high <= raw_end for raw_start, raw_end, _, _ in self.pieces)

    def to_json(self) -> list[list[float]]:
        """Return the pieces as lists of four numbers."""
        return [list(piece) for piece in self.pieces]

    @classmethod
    def from_json(cls, pieces: Iterable[Sequence[float]]) -> TimeMap:
        """Read what `to_json` wrote."""
        return cls(tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in pieces))


def _along(value: float, start: float, end: float) -> float:
    return (value - start) / (end - start) if end > start else 0.0


@dataclass(frozen=True)
class Edits:
    """An edit list over characters (code points): runs (raw start, raw end, start, end), in order, never overlapping.

    Inside a run the raw characters as a whole became the new ones; between runs they stand one to one, only shifted.
    """

    runs: tuple[tuple[int, int, int, int], ...] = ()

    @classmethod
    def replacing(cls, replacements: Iterable[tuple[int, int, str]]) -> Edits:
        """Return the edit list of replacements (raw start, raw end, new text), in order and without overlap.

        One character that became one other moves no border, so it needs no run. Raises ValueError for a wrong order.
        """
        runs, shift, done = [], 0, 0
        for start, end, new in replacements:
            if not done <= start <= end:
                raise ValueError(f"the replacement of [{start}, {end}) overlaps what stands before {done}, or is out of order")
            if not end - start == len(new) == 1:
                runs.append((start, end, start + shift, start + shift + len(new)))
            shift += len(new) - (end - start)
            done = end
        return cls(tuple(runs))

    def forward(self, position: int, *, end: bool = False) -> int:
        """Map a border between raw characters to the new text; inside a run, to the run's start, or its end with `end`.

        Where characters were inserted at the border, it comes to stand after them, or before them with `end`.
        """
        index = self._next_run(position, end=end)
        shift = self.runs[index - 1][3] - self.runs[index - 1][1] if index else 0
        if index < len(self.runs) and self.runs[index][0] < position:
            return self.runs[index][3 if end else 2]
        return position + shift

    def deletes(self, character: int) -> bool:
        """Whether the raw character at this place is gone, with nothing in its stead."""
        index = self._next_run(character, end=False)
        if index == len(self.runs):
            return False
        start, _, new_start, new_end = self.runs[index]
        return start <= character and new_start == new_end

    def _next_run(self, position: int, *, end: bool) -> int:
        """Return the number of the first run that does not lie wholly before a border."""
        return bisect_left(self.runs, True, key=lambda run: position < run[1] or position < run[0] + end)  # noqa: FBT003

    def backward(self, position: int, *, end: bool = False) -> int:
        """Map a border between characters as they are now back to the raw text."""
        return self.inverse().forward(position, end=end)

    def inverse(self) -> Edits:
        """Return the edit list from the new text to the raw one."""
        return Edits(tuple((start, end, raw_start, raw_end) for raw_start, raw_end, start, end in self.runs))

    def then(self, after: Edits) -> Edits:
        """Return the edit list that applies this one first and `after` second; runs that touch become one."""
        middle = sorted([run[2:] for run in self.runs] + [run[:2] for run in after.runs])
        merged: list[tuple[int, int]] = []
        for start, end in middle:
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        back = self.inverse()
        runs = ((*back._around(start, end), *after._around(start, end)) for start, end in merged)
        return Edits(tuple((a, b, c, d) for a, b, c, d in runs))

    def _around(self, start: int, end: int) -> tuple[int, int]:
        """Map a range whose borders lie inside no run, taking in the insertions at both borders."""
        return self.forward(start, end=True), self.forward(end)

    def to_json(self) -> list[list[int]]:
        """Return the runs as lists of four integers."""
        return [list(run) for run in self.runs]

    @classmethod
    def from_json(cls, runs: Iterable[Sequence[int]]) -> Edits:
        """Read what `to_json` wrote."""
        return cls(tuple((int(a), int(b), int(c), int(d)) for a, b, c, d in runs))


Map = Affine | TimeMap | Edits


@dataclass(frozen=True)
class Step:
    """What one stage did to the coordinates of a field: its name, its map, and how many annotations it removed."""

    stage: str
    map: Map
    removed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data: stage, kind of map, its numbers, and the count of annotations removed."""
        kind = type(self.map).__name__.lower()
        return {"stage": self.stage, "map": kind, "numbers": self.map.to_json(), "removed": self.removed}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Step:
        """Read what `to_json` wrote. Raises KeyError, TypeError or ValueError on anything else."""
        maps: dict[str, Any] = {"affine": Affine, "timemap": TimeMap, "edits": Edits}
        return cls(str(data["stage"]), maps[data["map"]].from_json(data["numbers"]), int(data["removed"]))


def steps_in(steps: Iterable[Step], kind: type[Map]) -> list[Step]:
    """Return the steps whose maps are of one kind: those of a clip move its times or its pixels, each apart from the other."""
    return [step for step in steps if isinstance(step.map, kind)]


def composed(steps: Sequence[Step]) -> Map | None:
    """Return the one map from the raw data to the data as it is now; None where no stage moved anything.

    All steps must have maps of one kind.
    """
    if not steps:
        return None
    return reduce(lambda before, after: before.then(after), (step.map for step in steps))  # type: ignore[arg-type]
