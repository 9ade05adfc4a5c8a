"""The video stages: frames, sound and words of a clip cover the same time, whatever the file."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from mmdata.dsp.scenes import scene_cuts
from mmdata.errors import RecipeError, RecordError
from mmdata.lineage import Affine, TimeMap, composed, steps_in
from mmdata.record import Reject
from mmdata.schema import FieldType, Schema
from mmdata.stages.video import Decode, Sound
from mmdata.stages.video_cut import Cut
from mmdata.values import FrameBox, Segment, Text, Video
from tests.stages.films import Film, click_times, clip_of, flash_times, record, run, sound_of

RNG = np.random.default_rng(0)
UNEVEN = tuple(np.cumsum(np.random.default_rng(3).choice([0.02, 0.04, 0.08], 100)) - 0.02)
FILMS = {
    "plain": Film(),
    "b-frames": Film(bframes=3),
    "variable rate": Film(times=tuple(round(float(time) / 0.02) * 0.02 for time in UNEVEN)),
    "late sound": Film(sound_start=0.5),
    "late pictures": Film(times=tuple(0.4 + number / 25 for number in range(90))),
    "opus in webm": Film(container="webm", video="libvpx-vp9", sound="libopus", size=(64, 48)),
    "matroska": Film(container="matroska", sound="flac", bframes=2),
    "transport stream": Film(container="mpegts", bframes=2, sound="aac"),
    "avi": Film(container="avi", video="mpeg4", sound="libmp3lame"),
}


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("start", [0.0, 0.7])
def test_flash_and_click_fall_together(name: str, start: float) -> None:
    """In every container, a flash and its click lie within a frame of each other and of the time they were filmed at."""
    film = FILMS[name]
    whole = Video(film.encoded(), segments=(Segment(start, 3.5, "all"),))
    (one,) = run([Cut(max_seconds=10), Sound(), Decode(rate=25)], whole)
    clip, sound = clip_of(one), sound_of(one)
    assert clip.seconds == pytest.approx(3.5 - start, abs=1e-6)
    assert abs(sound.seconds - clip.seconds) < 1e-3
    flashes, clicks = flash_times(clip), click_times(sound)
    # A transport stream has no zero of its own: its first picture or sound is it, and MP3 and AAC begin a little earlier.
    expected = [flash - start for flash in film.flashes]
    assert flashes == pytest.approx(expected, abs=0.1)
    assert np.abs(np.subtract(flashes, clicks)).max() <= 0.081
    assert np.abs(np.diff(clip.times) - 0.04).max() < 2e-6


def test_late_sound_is_preceded_by_silence() -> None:
    """Half a second of nothing, then what was heard."""
    (one,) = run([Sound()], Video(Film(sound="flac", flashes=(0.55, 2.0), sound_start=0.5).encoded()))
    sound = sound_of(one)
    assert not sound.samples[0, : int(0.5 * sound.rate)].any()
    assert click_times(sound) == pytest.approx([0.55, 2.0], abs=1e-3)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_films_come_upright(turn: int) -> None:
    """The dark left third goes where the turn takes it, and a box with it; it comes back by the lineage."""
    box = FrameBox(0.5, 2, 4, 20, 40, "dark")
    (one,) = run([Decode(rate=5)], Video(Film(turn=turn, sound=None).encoded(), frame_boxes=(box,)))
    clip = clip_of(one)
    assert clip.frames.shape[1:3] == ((48, 64) if turn == 180 else (64, 48))
    (moved,) = clip.frame_boxes
    inside = clip.frames[2, int(moved.top) : int(moved.bottom), int(moved.left) : int(moved.right)]
    assert inside.size
    assert inside.max() < 30
    back = composed(steps_in(clip.lineage, Affine))
    assert isinstance(back, Affine)
    corners = back.backward(np.array([[moved.left, moved.top], [moved.right, moved.bottom]]))
    assert np.sort(corners, axis=0).ravel().tolist() == pytest.approx([2, 4, 20, 40])


def test_shrinking_moves_boxes_and_makes_even_sides() -> None:
    """A side fits the limit, nothing is enlarged, and the box follows the exact ratio."""
    value = Video(Film(sound=None).encoded(), frame_boxes=(FrameBox(0.0, 0, 0, 32, 24),))
    clip = clip_of(run([Decode(rate=2, size=24)], value)[0])
    assert clip.frames.shape[1:3] == (24, 32)
    assert clip.frame_boxes[0] == FrameBox(0.0, 0, 0, 16, 12)
    assert clip_of(run([Decode(rate=2, size=500)], value)[0]).frames.shape[1:3] == (48, 64)


def test_frames_are_those_of_the_file() -> None:
    """All frames are taken once with their own times; at a rate each is the one seen then; key frames lie 20 apart."""
    film = FILMS["variable rate"]
    value = Video(film.encoded())
    every = clip_of(run([Decode(take="all")], value)[0])
    assert every.times == pytest.approx(np.array([0.0, *film.times[1:]]), abs=1e-3)
    paced = clip_of(run([Decode(rate=10)], value)[0])
    seen = np.searchsorted(every.times, paced.times + 1e-4, side="right") - 1
    assert np.array_equal(paced.frames, every.frames[seen])
    key = clip_of(run([Decode(take="key")], value)[0])
    assert key.times[1:] == pytest.approx(every.times[20::20], abs=1e-3)
    few = clip_of(run([Decode(rate=10, max_frames=5)], value)[0])
    assert few.times == pytest.approx(np.arange(5) * every.seconds / 5, abs=1e-5)


def test_cut_joins_neighbours_and_keeps_their_words() -> None:
    """Segments within the gap share a clip up to its longest; the text holds each word once; the lineage leads back."""
    segments = (Segment(0.2, 0.6, "one"), Segment(0.8, 1.2, "two"), Segment(1.3, 2.1, "three"), Segment(3.4, 9.0, "four"))
    parts = run([Cut(max_seconds=1.2, gap=0.5, text="text")], Video(Film().encoded(), segments=segments))
    texts = [part["text"] for part in parts]
    assert [text.text for text in texts if isinstance(text, Text)] == ["one two", "three", "four"]
    clips = [clip_of(part) for part in parts]
    assert [(round(clip.start, 6), round(clip.seconds, 6)) for clip in clips] == [(0.2, 1.0), (1.3, 0.8), (3.4, 0.6)]
    assert clips[2].segments[0].clipped
    for clip in clips:
        whole = composed(steps_in(clip.lineage, TimeMap))
        assert isinstance(whole, TimeMap)
        assert whole.backward(0.0) == pytest.approx(clip.start)
        assert len(clip.segments) + clip.lineage[0].removed == 4
        assert clip.data is clips[0].data


def test_cut_by_length_joins_a_short_end() -> None:
    """Four seconds by 1.3 and a tenth: three clips, the last a little longer."""
    parts = run([Cut(by="length", max_seconds=1.3, min_seconds=0.5)], Video(Film().encoded()))
    assert [round(clip_of(part).seconds, 3) for part in parts] == [1.3, 1.3, 1.4]


def test_cut_by_scenes_finds_the_flashes() -> None:
    """A cut stands where the picture turns white, and where it turns back."""
    film = Film(flashes=(1.0, 2.6))
    parts = run([Cut(by="scenes", min_seconds=0.1, threshold=15)], Video(film.encoded()))
    assert [round(clip_of(part).start, 2) for part in parts] == [0.0, 1.0, 1.2, 2.6, 2.8]


def test_scene_cuts_hold_their_distance() -> None:
    """A change too soon after the last cut is none."""
    scored = [(0.0, 0.0), (0.5, 90.0), (1.0, 40.0), (1.4, 50.0), (2.2, 27.0), (3.0, 26.9)]
    assert scene_cuts(scored, 27.0, 1.0) == [1.0, 2.2]


def test_a_damaged_or_foreign_file_is_a_record_error() -> None:
    """Nothing, nonsense, a playlist, half a file, a sound without pictures: each with its reason."""
    data = Film().encoded()
    half = Film(container="matroska").encoded()
    for raw, reason in [
        (b"", "video is empty"), (b"nonsense" * 99, "not a known video format"), (data[: len(data) // 2], "not a known video"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n", "not a known video format"),
        (half[: len(half) // 2], "truncated|damaged"),
    ]:  # fmt: skip
        for stage in (Decode(), Sound(), Cut(by="length")):
            with pytest.raises(RecordError, match=reason):
                stage(record(Video(raw)), RNG)


def test_limits_are_held() -> None:
    """Pixels, seconds, and a window behind the end."""
    value = Video(Film().encoded())
    with pytest.raises(RecordError, match="too many pixels"):
        Decode(max_pixels=100)(record(value), RNG)
    for stage in (Decode(max_seconds=2), Sound(max_seconds=2)):
        with pytest.raises(RecordError, match="clip is too long"):
            stage(record(value), RNG)
    with pytest.raises(RecordError, match="behind the end"):
        Decode()(record(replace(value, start=99.0)), RNG)


def test_a_film_without_segments_or_sound_says_so() -> None:
    """The first is filtered, the second goes on without the field."""
    silent = Video(Film(sound=None).encoded())
    rejected = Cut()(record(silent), RNG)
    assert isinstance(rejected, Reject)
    assert rejected.kind == "filtered"
    one = record(silent)
    assert Sound()(one, RNG) is one


def test_what_does_not_fit_is_refused_at_plan_time() -> None:
    """Decoded clips cannot be cut, names must be free, options must agree."""
    raw = Schema({"video": FieldType("video", encoded=True), "text": FieldType("text", dtype="str")})
    decoded = Decode().infer(raw)
    for stage in (Cut(), Sound(), Decode()):
        with pytest.raises(RecipeError, match="already decoded"):
            stage.infer(decoded)
    with pytest.raises(RecipeError, match="already; choose another name"):
        Cut(text="text").infer(raw)
    with pytest.raises(RecipeError, match="already; choose another name"):
        Sound(into="text").infer(raw)
    with pytest.raises(ValidationError, match="has no rate"):
        Decode(take="all", rate=3)
    with pytest.raises(ValidationError, match="min_seconds"):
        Cut(max_seconds=0.5)


@pytest.mark.parametrize(
    "stage", [Decode(rate=3, sound=True), Sound(), Cut(by="length", max_seconds=2)], ids=lambda s: str(s.stage)
)
def test_same_film_same_bytes(stage: Decode | Sound | Cut) -> None:
    """Also after a pickle, and with the input as it was."""
    value = Video(FILMS["b-frames"].encoded())
    first, second = run([stage], value), run([pickle.loads(pickle.dumps(stage))], value)
    for one, two in zip(first, second, strict=True):
        for name in one.fields:
            a, b = one[name], two[name]
            assert np.array_equal(getattr(a, "data", 0), getattr(b, "data", 0))
            assert getattr(a, "lineage", ()) == getattr(b, "lineage", ())
