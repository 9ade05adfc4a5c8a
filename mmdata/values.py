"""The values that a record's fields hold, each with the annotations that live in its own coordinates.

Values are immutable and compared by identity: a stage makes a new one. A stage that moves coordinates calls the value's own
`moved`, `retimed` or `edited`, which carries the annotations along, counts those that are gone and marks those that were cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmdata.lineage import Affine, Edits, Step, TimeMap

Kind = Literal["text", "tokens", "image", "audio", "video", "array"]
A = TypeVar("A", bound=NDArray[Any])

_UINT8, _INT32, _FLOAT32, _FLOAT64 = np.dtype(np.uint8), np.dtype(np.int32), np.dtype(np.float32), np.dtype(np.float64)


@dataclass(frozen=True)
class Span:
    """A labelled range of characters: [start, end) in code points of the text as it now is."""

    start: int
    end: int
    label: str = ""
    clipped: bool = False


@dataclass(frozen=True)
class Box:
    """A labelled rectangle in pixels of the picture as it now is: left <= x < right, top <= y < bottom."""

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""
    clipped: bool = False


@dataclass(frozen=True)
class Point:
    """A labelled place in pixels of the picture as it now is; (0, 0) is the outer corner of the top left pixel."""

    x: float
    y: float
    label: str = ""


@dataclass(frozen=True)
class Segment:
    """A labelled stretch of time: [start, end) in seconds from the first sample; the label may be its words."""

    start: float
    end: float
    label: str = ""
    clipped: bool = False


@dataclass(frozen=True)
class FrameBox:
    """A labelled rectangle in the frame of a clip that is seen at `seconds`, in pixels of the frames as they now are."""

    seconds: float
    left: float
    top: float
    right: float
    bottom: float
    label: str = ""
    clipped: bool = False


@dataclass(frozen=True, eq=False)
class Text:
    """A string (no lone surrogates) and its spans."""

    kind: ClassVar[Kind] = "text"
    text: str
    spans: tuple[Span, ...] = ()
    lineage: tuple[Step, ...] = ()

    def edited(self, replacements: Iterable[tuple[int, int, str]], stage: str) -> Text:
        """Return the text with each (start, end, new) replaced; they must be in order and must not overlap.

        Spans follow. One that lay wholly in deleted characters is removed and counted, one that lost an end is clipped.
        """
        wanted = [(start, end, new) for start, end, new in replacements if self.text[start:end] != new]
        if not wanted:
            return self
        edits = Edits.replacing(wanted)
        kept = [span for span in (_moved_span(span, edits) for span in self.spans) if span is not None]
        step = Step(stage, edits, len(self.spans) - len(kept))
        return Text(_replaced(self.text, wanted), tuple(kept), (*self.lineage, step))


def _replaced(text: str, replacements: Sequence[tuple[int, int, str]]) -> str:
    parts, done = [], 0
    for start, end, new in replacements:
        parts += [text[done:start], new]
        done = end
    return "".join([*parts, text[done:]])


def _moved_span(span: Span, edits: Edits) -> Span | None:
    start = edits.forward(span.start)
    if span.start == span.end:
        return replace(span, start=start, end=start)
    end = edits.forward(span.end, end=True)
    if end <= start:
        return None
    cut = edits.deletes(span.start) or edits.deletes(span.end - 1)
    return replace(span, start=start, end=end, clipped=span.clipped or cut)


@dataclass(frozen=True, eq=False)
class Tokens:
    """Token ids, int32 [n], and where each stands in its text: offsets, int32 [n, 2], [start, end) in code points."""

    kind: ClassVar[Kind] = "tokens"
    ids: NDArray[np.int32]
    offsets: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check(self.ids, _INT32, 1, "token ids")
        _check(self.offsets, _INT32, 2, "token offsets")
        if self.offsets.shape != (len(self.ids), 2):
            raise ValueError(f"token offsets must be [{len(self.ids)}, 2], not {list(self.offsets.shape)}")


class _Medium(Generic[A]):
    """What pictures, recordings and clips have in common: their data is an array, or the bytes of a file still encoded."""

    called: ClassVar[str]
    data: A | bytes

    @property
    def encoded(self) -> bytes:
        """The bytes of the whole file. Raises TypeError once it is decoded."""
        if not isinstance(self.data, bytes):
            raise TypeError(f"the {self.called} is already decoded")
        return self.data

    def _decoded(self) -> A:
        """Return the array. Raises TypeError while the file is still encoded."""
        if isinstance(self.data, bytes):
            raise TypeError(f"the {self.called} is still encoded")
        return self.data


@dataclass(frozen=True, eq=False)
class Image(_Medium[NDArray[np.uint8]]):
    """A picture: pixels uint8 [height, width, 3] in RGB, or the bytes of a picture file that is not decoded yet."""

    kind: ClassVar[Kind] = "image"
    called: ClassVar[str] = "picture"
    data: NDArray[np.uint8] | bytes
    boxes: tuple[Box, ...] = ()
    points: tuple[Point, ...] = ()
    lineage: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.data, bytes):
            _check(self.data, _UINT8, 3, "pixels")
            if self.data.shape[2] != 3:
                raise ValueError(f"pixels must be [height, width, 3], not {list(self.data.shape)}")

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Pixels uint8 [height, width, 3]. Raises TypeError while the picture is still encoded."""
        return self._decoded()

    def moved(self, pixels: NDArray[np.uint8], by: Affine, stage: str) -> Image:
        """Return the picture with new pixels, its boxes and points moved by the map and cut at the new border.

        A box becomes the upright hull of its moved corners; one with no area left inside is removed and counted.
        """
        if not self.boxes and not self.points:
            return Image(pixels, lineage=(*self.lineage, Step(stage, by)))
        height, width = pixels.shape[:2]
        boxes = [box for box in (_moved_box(box, by, width, height) for box in self.boxes) if box is not None]
        moved = (_moved_point(point, by) for point in self.points)
        points = [point for point in moved if 0 <= point.x <= width and 0 <= point.y <= height]
        removed = len(self.boxes) + len(self.points) - len(boxes) - len(points)
        return Image(pixels, tuple(boxes), tuple(points), (*self.lineage, Step(stage, by, removed)))


def _moved_box(box: Box, by: Affine, width: int, height: int) -> Box | None:
    corners = np.array([[x, y] for x in (box.left, box.right) for y in (box.top, box.bottom)], dtype=np.float64)
    moved = by.forward(corners)
    (low_x, low_y), (high_x, high_y) = moved.min(axis=0), moved.max(axis=0)
    left, right = max(0.0, float(low_x)), min(float(width), float(high_x))
    top, bottom = max(0.0, float(low_y)), min(float(height), float(high_y))
    if left >= right or top >= bottom:
        return None
    # Rounding in the map alone must not mark a box as clipped.
    cut = max(left - low_x, high_x - right, top - low_y, high_y - bottom) > 1e-6
    return Box(left, top, right, bottom, box.label, box.clipped or bool(cut))


def _moved_point(point: Point, by: Affine) -> Point:
    x, y = by.forward(np.array([[point.x, point.y]], dtype=np.float64))[0]
    return replace(point, x=float(x), y=float(y))


@dataclass(frozen=True, eq=False)
class Audio(_Medium[NDArray[np.float32]]):
    """A recording: samples float32 [channels, samples], nominally in [-1, 1], at `rate` Hz; or bytes not decoded yet.

    `rate` is 0 while the recording is still encoded.
    """

    kind: ClassVar[Kind] = "audio"
    called: ClassVar[str] = "recording"
    data: NDArray[np.float32] | bytes
    rate: int = 0
    segments: tuple[Segment, ...] = ()
    lineage: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.data, bytes):
            _check(self.data, _FLOAT32, 2, "samples")
            if self.rate <= 0:
                raise ValueError(f"the rate of decoded samples must be positive, not {self.rate}")

    @property
    def samples(self) -> NDArray[np.float32]:
        """Samples float32 [channels, samples]. Raises TypeError while the recording is still encoded."""
        return self._decoded()

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return int(self.samples.shape[1]) / self.rate

    def retimed(self, samples: NDArray[np.float32], by: TimeMap, stage: str, rate: int | None = None) -> Audio:
        """Return the recording with new samples, its segments moved by the map and cut at the new ends.

        A segment with no time left is removed and counted. `rate` defaults to the rate as it is.
        """
        moved = [(segment, _moved_segment(segment, by)) for segment in self.segments]
        segments = tuple(new for _, new in moved if new is not None)
        step = Step(stage, by, len(self.segments) - len(segments))
        return Audio(samples, rate or self.rate, segments, (*self.lineage, step))


def _moved_segment(segment: Segment, by: TimeMap) -> Segment | None:
    start, end = by.forward(segment.start), by.forward(segment.end)
    # Rounding in the times alone must not leave a sliver of a segment behind.
    if end - start <= 1e-9:
        return None
    return Segment(start, end, segment.label, segment.clipped or not by.keeps(segment.start, segment.end))


@dataclass(frozen=True, eq=False)
class Video(_Medium[NDArray[np.uint8]]):
    """A clip: frames with their times, and its sound; or a window on the bytes of a video file that is not decoded yet.

    All times are seconds on the clip's own clock, which begins with the clip and runs for `seconds`. Still encoded, the clip is
    the stretch of the file that begins `start` seconds after the file's first picture or sound; `seconds` is infinite where only
    the file knows its end. The clips cut out of a file share its bytes, so cutting costs no memory. Decoded, `data` is uint8
    [frames, height, width, 3] in RGB, `times` float64 [frames] says from when on each is seen, and `sound`, where it was asked
    for, begins at time 0.
    """

    kind: ClassVar[Kind] = "video"
    called: ClassVar[str] = "clip"
    data: NDArray[np.uint8] | bytes
    times: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    start: float = 0.0
    seconds: float = math.inf
    sound: Audio | None = None
    segments: tuple[Segment, ...] = ()
    frame_boxes: tuple[FrameBox, ...] = ()
    lineage: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.data, bytes):
            return
        _check(self.data, _UINT8, 4, "frames")
        _check(self.times, _FLOAT64, 1, "times of frames")
        if self.data.shape[3] != 3 or len(self.data) != len(self.times):
            raise ValueError(f"frames must be [{len(self.times)}, height, width, 3], not {list(self.data.shape)}")
        if not math.isfinite(self.seconds):
            raise ValueError("a decoded clip must say how long it is")

    @property
    def frames(self) -> NDArray[np.uint8]:
        """Frames uint8 [frames, height, width, 3]. Raises TypeError while the clip is still encoded."""
        return self._decoded()

    def window(self, start: float, end: float, stage: str) -> Video:
        """Return [start, end) seconds of a clip that is still encoded; segments and boxes are moved and cut with it.

        A segment with no time left, or a box of another time, is removed and counted.
        """
        by = TimeMap.cut(start, end)
        segments = [moved for moved in (_moved_segment(segment, by) for segment in self.segments) if moved is not None]
        boxes = [replace(box, seconds=by.forward(box.seconds)) for box in self.frame_boxes if start <= box.seconds < end]
        removed = len(self.segments) + len(self.frame_boxes) - len(segments) - len(boxes)
        lineage = (*self.lineage, Step(stage, by, removed))
        moved = replace(self, segments=tuple(segments), frame_boxes=tuple(boxes), lineage=lineage)
        return replace(moved, data=self.encoded, start=self.start + start, seconds=end - start)

    def decoded(self, frames: NDArray[np.uint8], times: NDArray[np.float64], by: Affine, stage: str) -> Video:
        """Return the clip decoded; `by` is the map from pixels of the file to those of the frames, and moves the boxes.

        A box with no area left inside is removed and counted.
        """
        height, width = frames.shape[1:3]
        boxes = [moved for moved in (_moved_frame_box(box, by, width, height) for box in self.frame_boxes) if moved is not None]
        step = Step(stage, by, len(self.frame_boxes) - len(boxes))
        return replace(self, data=frames, times=times, start=0.0, frame_boxes=tuple(boxes), lineage=(*self.lineage, step))


def _moved_frame_box(box: FrameBox, by: Affine, width: int, height: int) -> FrameBox | None:
    flat = _moved_box(Box(box.left, box.top, box.right, box.bottom, box.label, box.clipped), by, width, height)
    return None if flat is None else FrameBox(box.seconds, **vars(flat))


@dataclass(frozen=True, eq=False)
class Array:
    """Any other numbers: an array of a numeric dtype and any shape."""

    kind: ClassVar[Kind] = "array"
    array: NDArray[Any]

    def __post_init__(self) -> None:
        if self.array.dtype.kind not in "biuf":
            raise ValueError(f"an array must be numeric, not {self.array.dtype}")
        self.array.setflags(write=False)


Value = Text | Tokens | Image | Audio | Video | Array
V = TypeVar("V", Text, Tokens, Image, Audio, Video, Array)


def _check(array: NDArray[Any], dtype: np.dtype[Any], dimensions: int, what: str) -> None:
    """Hold an array to its contract, and make it read-only: values are shared and never change."""
    if array.dtype != dtype or array.ndim != dimensions:
        raise ValueError(f"{what} must be {dtype} with {dimensions} dimensions, not {array.dtype} {list(array.shape)}")
    array.setflags(write=False)
