"""Raw records that say where everything in them is: a picture by its colours, a sound by its noise, a text by its words."""

# ruff: noqa: RUF001 - letters that look alike are meant

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import accumulate
from typing import cast

import numpy as np
import PIL.Image
import soundfile
from hypothesis import strategies as st

from mmdata.record import Origin, Provenance, Record
from mmdata.schema import FieldType, Schema
from mmdata.values import Audio, Box, FrameBox, Image, Point, Segment, Span, Text, Value, Video
from tests.stages.films import Film

RATE = 16000
BLUE = 128
WORDS = [
    "Straße", "ＦＵＬＬ", "e\u0301te\u0301", "ﬁne", "İstanbul", "“quoted”", "can’t", "漢字", "ada@example.org",
    "ｶﾞｷﾞ", "ภาษาไทย", "น้ำ", "العَرَبِيَّة", "हिन्दी", "한국어", "👩\u200d👩\u200d👧", "🇩🇪",
    "cafÃ©", "wait…", "so\u00adft", "A\u200bB", "ok.", "好。", "كيف؟",
]  # fmt: skip
SEPARATORS = [" ", "  ", "\n", "\n\n", " \u200b ", "\u3000", " — "]
FILM = Film(times=tuple(number / 25 for number in range(60)), flashes=(1.0,)).encoded()
FILM_SECONDS = 2.4

_PICTURE, _SOUND = FieldType("image", encoded=True), FieldType("audio", encoded=True)
_TEXT, _CLIP = FieldType("text", dtype="str"), FieldType("video", encoded=True)
SCHEMA = Schema({"audio": _SOUND, "image": _PICTURE, "text": _TEXT}, {"lang": "str"})
FILMED = Schema({"image": _PICTURE, "text": _TEXT, "video": _CLIP}, {"lang": "str"})

Range = tuple[float, float]


@dataclass(frozen=True)
class RawPicture:
    """A PNG whose red grows with x and whose green grows with y, to be turned as its EXIF says; boxes may lie beyond it."""

    sides: tuple[int, int]
    orientation: int
    boxes: Sequence[tuple[Range, Range]]
    points: Sequence[tuple[float, float]]

    def value(self) -> Image:
        """Return it as a source gives it; each annotation is labelled by its number."""
        (width, height), exif, sink = self.sides, PIL.Image.Exif(), BytesIO()
        x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
        pixels = np.stack([np.round(255 * x), np.round(255 * y), np.full_like(x, BLUE)], axis=-1).astype(np.uint8)
        exif[0x0112] = self.orientation
        PIL.Image.fromarray(pixels).save(sink, "PNG", exif=exif)
        boxes = (Box(x[0], y[0], x[1], y[1], str(number)) for number, (x, y) in enumerate(self.boxes))
        points = (Point(x * width, y * height, str(number)) for number, (x, y) in enumerate(self.points))
        return Image(sink.getvalue(), tuple(boxes), tuple(points))


@dataclass(frozen=True)
class RawSound:
    """A WAV of bursts of noise in two channels, the second one softer, with faint noise around and between them."""

    before: int
    after: int
    times: Sequence[Range]

    def value(self) -> Audio:
        """Return it as a source gives it; each segment is labelled by its number."""
        samples = 1e-4 * np.random.default_rng(1).standard_normal(self.before + 2 * RATE + self.after)
        for start in (self.before, self.before + 9000, self.before + 24000):
            samples[start : start + 6000] *= 1500.0
        sink = BytesIO()
        soundfile.write(sink, np.stack([samples, samples / 2], axis=1).astype(np.float32), RATE, "FLOAT", format="WAV")
        return Audio(sink.getvalue(), 0, _segments(self.times))


@dataclass(frozen=True)
class RawText:
    """Words of many scripts with what stands between them."""

    parts: Sequence[tuple[str, str]]

    def value(self) -> Text:
        """Return it as a source gives it; each word has a span that is labelled by its number."""
        starts = accumulate((len(word) + len(separator) for word, separator in self.parts), initial=0)
        words = enumerate(zip(self.parts, starts, strict=False))
        spans = (Span(start, start + len(word), str(number)) for number, ((word, _), start) in words)
        return Text("".join(word + separator for word, separator in self.parts), tuple(spans))


@dataclass(frozen=True)
class RawFilm:
    """One film, with other segments and boxes each time."""

    times: Sequence[Range]
    boxes: Sequence[tuple[float, float, float]]

    def value(self) -> Video:
        """Return it as a source gives it; each annotation is labelled by its number."""
        boxes = (FrameBox(time, x, y, x + 12, y + 9, str(number)) for number, (time, x, y) in enumerate(self.boxes))
        return Video(FILM, segments=_segments(self.times), frame_boxes=tuple(boxes))


@dataclass(frozen=True)
class RawRecord:
    """What a record is made of; short to print, where the record itself is long."""

    image: RawPicture
    text: RawText
    audio: RawSound | None = None
    video: RawFilm | None = None

    def record(self) -> Record:
        """Return the record as a source gives it."""
        parts = {"audio": self.audio, "image": self.image, "text": self.text, "video": self.video}
        return record_of({name: cast("Value", part.value()) for name, part in parts.items() if part is not None})


def record_of(values: dict[str, Value]) -> Record:
    """Make a record of some values."""
    inputs = {name: Provenance(f"0.{name}", "0" * 64, 1) for name in values}
    return Record("key", values, Origin(0, "key", "train", "g", inputs), {"lang": "en"})


def _segments(times: Sequence[Range]) -> tuple[Segment, ...]:
    return tuple(Segment(start, end, str(number)) for number, (start, end) in enumerate(times))


def _ranges(most: float, least: float) -> st.SearchStrategy[Range]:
    """Draw a range of some length, at most a third of `most`, that begins between a little before 0 and `most`."""
    return st.tuples(st.floats(-0.1 * most, most), st.floats(least, most / 3)).map(lambda pair: (pair[0], pair[0] + pair[1]))


_UNIT = st.floats(0.0, 1.0)
PICTURES = st.builds(
    RawPicture,
    sides=st.tuples(st.integers(40, 120), st.integers(30, 100)),
    orientation=st.integers(1, 8),
    boxes=st.lists(st.tuples(_ranges(100.0, 1.0), _ranges(80.0, 1.0)), max_size=4),
    points=st.lists(st.tuples(_UNIT, _UNIT), max_size=4),
)
SOUNDS = st.builds(
    RawSound, before=st.integers(0, 8000), after=st.integers(0, 8000), times=st.lists(_ranges(2.5, 0.01), max_size=4)
)
TEXTS = st.builds(RawText, st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(SEPARATORS)), max_size=12))
FILMS = st.builds(
    RawFilm,
    times=st.lists(_ranges(FILM_SECONDS, 0.05), max_size=4),
    boxes=st.lists(st.tuples(st.floats(0, FILM_SECONDS - 0.01), st.floats(-5, 60), st.floats(-5, 40)), max_size=4),
)
SOUNDING_RECORDS = st.builds(RawRecord, PICTURES, TEXTS, SOUNDS)
"""Records of picture, recording and text."""
FILMED_RECORDS = st.builds(RawRecord, PICTURES, TEXTS, video=FILMS)
"""Records of film, picture and text."""
