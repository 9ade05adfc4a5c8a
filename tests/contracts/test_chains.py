"""Chains of any stages, all families mixed: every annotation leads back to where it was in the raw data, and so do the data.

The raw picture says in its colours where each pixel was, the raw recording is noise that is like itself at one place alone, the
raw text is made of words whose rewrites are known. So a lineage that is wrong is found, not only one that contradicts itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import PIL.Image
import pytest
import scipy.ndimage
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mmdata.codec import Codec
from mmdata.lineage import Affine, Edits, Step, TimeMap, composed, steps_in
from mmdata.record import Record
from mmdata.schema import Schema
from mmdata.stages import STAGES
from mmdata.stages.base import Stage
from mmdata.stages.image_blur import Blur, BlurFaces
from mmdata.stages.record import Rename
from mmdata.stages.redact import Redact
from mmdata.stages.text import Normalize
from mmdata.values import Audio, Image, Point, Text, Tokens, Value, Video
from tests.contracts.chains import OPTIONS, Move, chains, passed, run, schema_after
from tests.contracts.raw_records import (
    BLUE,
    FILMED,
    FILMED_RECORDS,
    SCHEMA,
    SOUNDING_RECORDS,
    RawRecord,
    record_of,
)
from tests.contracts.test_stages import check_inside, contents


def check(chain: Sequence[Stage], given: RawRecord, schema: Schema) -> None:
    """Check every move of a record through a chain, everything that comes out, and that it comes out the same again."""
    raw = given.record()
    found, moves = run(chain, raw)
    for move in moves:
        check_counted(move)
    for record in found:
        for value in record.fields.values():
            check_inside(value)
            check_value(value, raw, chain)
    again, _ = run(chain, raw)
    assert [list(contents(record)) for record in again] == [list(contents(record)) for record in found]
    assert written(again, chain, schema) == written(found, chain, schema)


def written(records: Sequence[Record], chain: Sequence[Stage], schema: Schema) -> list[dict[str, bytes]]:
    """Return the payloads of records; of none where a field is still encoded, or would cost a film to write."""
    after = schema_after(chain, schema)
    if any(type_.encoded for type_ in after.fields.values()):
        return []
    kept = Schema({name: type_ for name, type_ in after.fields.items() if type_.kind != "video"}, after.metadata, after.measures)
    codec = Codec.plan(kept, {}, tuple(schema.fields))
    return [codec.encode(record) for record in records]


NOTES = ("boxes", "points", "segments", "frame_boxes", "spans")


def raw_notes(value: object) -> Iterator[tuple[str, Any]]:
    """Yield the annotations that the raw data had, not those that stages added, with their kinds."""
    return ((kind, note) for kind in NOTES for note in getattr(value, kind, ()) if note.label.isdigit())


def check_counted(move: Move) -> None:
    """Every raw annotation that a stage does not hand on is counted as removed, and where it had no others, none besides."""
    for name, old in move.before.fields.items():
        new = move.after.fields.get(name)
        if type(new) is not type(old):
            continue
        steps = getattr(new, "lineage", ())[len(getattr(old, "lineage", ())) :]
        removed = sum(step.removed for step in steps)
        had, has = ([(kind, note.label) for kind, note in raw_notes(value)] for value in (old, new))
        lost = len(had) - len(has)
        assert set(has) <= set(had)
        assert lost <= removed
        assert lost == removed or len(had) < sum(len(getattr(old, kind, ())) for kind in NOTES)


def check_value(value: Value, raw: Record, chain: Sequence[Stage]) -> None:
    """Check what came out of one field against the raw field that it was made of."""
    match value:
        case Image(data=np.ndarray()):
            check_picture(value, raw["image"], is_blurred=any(isinstance(stage, Blur | BlurFaces) for stage in chain))
        case Audio(data=np.ndarray()):
            check_recording(value, raw)
        case Video():
            check_clip(value, raw["video"])
        case Text():
            check_text(value, raw["text"], chain)
        case Tokens() if "text" in raw.fields:
            assert np.all(value.offsets[:, 0] < value.offsets[:, 1])
        case _:
            pass


def check_picture(value: Image, raw: Value, *, is_blurred: bool) -> None:
    """Boxes and points come back to where they were, and the colours say that the pixels do."""
    assert isinstance(raw, Image)
    back = composed(value.lineage) or Affine()
    assert isinstance(back, Affine)
    for kind, note in raw_notes(value):
        given = next(one for one in getattr(raw, kind) if one.label == note.label)
        if isinstance(note, Point):
            assert back.backward(np.array([[note.x, note.y]]))[0] == pytest.approx((given.x, given.y), abs=1e-6)
        else:
            check_box(note, given, back)
    if not is_blurred:
        check_colours(value, raw, back)


def check_box(note: Any, given: Any, back: Affine) -> None:
    """A box comes back to where it was, and one that was clipped to a part of it."""
    corners = back.backward(np.array([[note.left, note.top], [note.right, note.bottom]]))
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    found, wanted = np.array([left, top, -right, -bottom]), np.array([given.left, given.top, -given.right, -given.bottom])
    assert np.all(found >= wanted - 1e-3)
    assert note.clipped or np.abs(found - wanted).max() < 1e-3
    assert not note.clipped or np.abs(found - wanted).max() > 1e-9


def check_colours(value: Image, raw: Image, back: Affine) -> None:
    """Every pixel has the colour of the raw place that the lineage gives it; not asked beside padding, whose colour mixes in."""
    plain = np.abs(value.pixels[..., 2].astype(int) - BLUE) <= 1
    rows, columns = np.nonzero(scipy.ndimage.minimum_filter(plain, 5))
    sides = PIL.Image.open(BytesIO(raw.encoded)).size
    pixel = np.max([raw_pixel(value.lineage[:steps]) for steps in range(len(value.lineage) + 1)], axis=0)
    places = back.backward(np.stack([columns, rows], axis=1) + 0.5)
    said = value.pixels[rows, columns, :2] / 255 * sides
    # A pixel of the picture as it was when it had the fewest of them, in raw pixels; and the rounding of colours.
    assert np.all(np.abs(said - places) <= pixel + np.array(sides) / 255)


def raw_pixel(steps: Sequence[Step]) -> NDArray[np.float64]:
    """Return width and height, in raw pixels, of a pixel after some steps."""
    back = composed(steps) or Affine()
    assert isinstance(back, Affine)
    return np.abs(back.backward(np.ones((1, 2))) - back.backward(np.zeros((1, 2))))[0]


def check_recording(value: Audio, raw: Record) -> None:
    """Segments come back to the raw seconds; and the samples there are the raw ones, to a sample."""
    given = raw.fields.get("audio", raw.fields.get("video"))
    assert isinstance(given, Audio | Video)
    whole = composed(value.lineage) or TimeMap.cut(0.0, value.seconds)
    assert isinstance(whole, TimeMap)
    check_segments(value, given, whole)
    assert abs(whole.pieces[-1][1] - whole.pieces[0][0] - value.seconds) <= 1.5 / min(8000, value.rate)
    if isinstance(given, Audio):
        check_samples(value, whole, given)


def check_segments(value: Audio | Video, given: Audio | Video, whole: TimeMap) -> None:
    """A segment comes back to where it was, and one that was clipped to a part of it."""
    for note in (segment for segment in value.segments if segment.label.isdigit()):
        wanted = next(segment for segment in given.segments if segment.label == note.label)
        start, end = whole.backward(note.start), whole.backward(note.end)
        assert wanted.start - 2e-6 <= start <= end <= wanted.end + 2e-6
        assert note.clipped or (start, end) == pytest.approx((wanted.start, wanted.end), abs=2e-6)


def check_samples(value: Audio, whole: TimeMap, given: Audio) -> None:
    """The stretch around the loudest sample is most like the raw recording where the lineage says that it was."""
    raw, rate = soundfile.read(BytesIO(given.encoded), dtype="float32", always_2d=True)
    there = soxr.resample(raw[:, 0], rate, value.rate)
    count, shift = value.rate // 20, 8
    start = max(0, int(np.argmax(np.abs(value.samples[0]))) - count // 2)
    stretch = value.samples[0, start : start + count].astype(np.float64)
    place = round(whole.backward(start / value.rate) * value.rate)
    around = there[place - shift : place + shift + len(stretch)].astype(np.float64)
    if len(stretch) < count or place < shift or len(around) < len(stretch) + 2 * shift or np.abs(around).max() < 0.05:
        return  # at an end, or silence, which is like itself everywhere
    assert abs(int(np.argmax(np.correlate(around, stretch, "valid"))) - shift) <= 1


def check_clip(value: Video, raw: Value) -> None:
    """Segments and boxes come back to the seconds and the pixels of the film."""
    assert isinstance(raw, Video)
    times, pixels = (composed(steps_in(value.lineage, kind)) for kind in (TimeMap, Affine))
    seconds = times or TimeMap(((-9.0, 9.0, -9.0, 9.0),))  # what is not decoded may still have segments beyond its end
    assert isinstance(seconds, TimeMap)
    check_segments(value, raw, seconds)
    for box in value.frame_boxes:
        given = next(one for one in raw.frame_boxes if one.label == box.label)
        assert seconds.backward(box.seconds) == pytest.approx(given.seconds, abs=2e-6)
        check_box(box, given, pixels if isinstance(pixels, Affine) else Affine())


def check_text(value: Text, raw: Value, chain: Sequence[Stage]) -> None:
    """The span of a word covers what the rewrites make of the word alone, and leads back to it; unless a border cut it."""
    assert isinstance(raw, Text)
    for span in (span for span in value.spans if span.label.isdigit()):
        given = next(one for one in raw.spans if one.label == span.label)
        back = back_in(value, span.start), back_in(value, span.end, end=True)
        assert given.start <= back[0] <= back[1] <= given.end
        assert span.clipped or back == (given.start, given.end)
        assert span.clipped or value.text[span.start : span.end] == alone(raw.text[given.start : given.end], chain)


def back_in(value: Text, place: int, *, end: bool = False) -> int:
    """Return where a border was in the raw text: step by step, because a composed map joins runs that touch."""
    for step in reversed(value.lineage):
        assert isinstance(step.map, Edits)
        place = step.map.backward(place, end=end)
    return place


def alone(word: str, chain: Sequence[Stage]) -> str:
    """Return what the rewrites of a chain make of a word that stands alone."""
    record, name = record_of({"text": Text(word)}), "text"
    for stage in chain:
        if isinstance(stage, Rename):
            name = stage.fields.get(name, name)
        if isinstance(stage, Normalize | Redact) and stage.field == name:
            (record,) = passed(stage.model_copy(update={"field": "text"}), "alone", record)
    value = record["text"]
    assert isinstance(value, Text)
    return value.text


MIXED = ("text", "image", "audio", "record")
FILMING = st.sampled_from([[], ["video.cut"], ["video.cut", "video.cut"]]).map(
    lambda cuts: [*cuts, "video.audio", "video.decode"]
)
FAMILIES: dict[str, tuple[int, st.SearchStrategy[list[Stage]]]] = {
    "all": (80, chains(SCHEMA, MIXED, ["image.decode", "audio.decode"], 7)),
    "text": (80, chains(SCHEMA, ["text"], [], 6)),
    "image": (60, chains(SCHEMA, ["image"], ["image.decode"], 6)),
    "audio": (60, chains(SCHEMA, ["audio"], ["audio.decode"], 6)),
}
"""Examples, and chains of the families of a record of picture, recording and text."""
TIMES = pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])


def hold(chain: st.SearchStrategy[list[Stage]], *, filmed: bool, examples: int) -> None:
    """Check so many chains that are drawn, over a record of a film or of a recording."""

    @given(chain, FILMED_RECORDS if filmed else SOUNDING_RECORDS)
    @settings(max_examples=examples, deadline=None)
    def holds(chain: list[Stage], given: RawRecord) -> None:
        check(chain, given, FILMED if filmed else SCHEMA)

    holds()


@TIMES
@pytest.mark.parametrize("families", FAMILIES)
def test_picture_sound_and_text(families: str, times: int) -> None:
    """Long chains over a record of all three, of stages of all families or of one."""
    examples, drawn = FAMILIES[families]
    hold(drawn, filmed=False, examples=times * examples)


@TIMES
def test_clip_picture_and_text(times: int) -> None:
    """Chains over a record with a film, which is cut up to twice, heard and decoded; its sound goes on as a recording."""
    drawn = FILMING.flatmap(lambda opening: chains(FILMED, (*MIXED, "video"), [*opening, "image.decode"], 4))
    hold(drawn, filmed=True, examples=times * 25)


@TIMES
@pytest.mark.parametrize("name", OPTIONS)
def test_each_stage_among_others(name: str, times: int) -> None:
    """Right after the decoders and what it needs, or after up to two others; and before up to two more."""
    filmed = name.startswith("video.")
    schema, needed = (FILMED, ["image.decode"]) if filmed else (SCHEMA, ["image.decode", "audio.decode", *NEEDS.get(name, [])])
    others = st.lists(st.sampled_from([other for other in OPTIONS if other != "record.drop"]), max_size=2)
    drawn = others.flatmap(lambda some: chains(schema, MIXED, [*needed, *some, name], 2))
    hold(drawn, filmed=filmed, examples=times * 5)


NEEDS = {"audio.features": ["audio.resample"]}


def test_every_stage_may_be_drawn() -> None:
    """A stage that is added must enter the chains."""
    assert OPTIONS.keys() == STAGES.keys()
