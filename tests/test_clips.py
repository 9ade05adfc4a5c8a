"""Clips end to end: films with subtitles become a dataset that validates, loads, and keeps pictures, sound and words together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmdata.builder import build
from mmdata.dataset import Dataset
from mmdata.loader import Loader
from mmdata.recipe import Recipe
from mmdata.validation.checks import validate
from mmdata.values import Audio, Text, Video
from tests.stages.films import Film, click_times, flash_times

SRT = "1\n00:00:00,600 --> 00:00:01,400\nfirst words\n\n2\n00:00:02,400 --> 00:00:03,200\nsecond words\n"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three films: one plain, one whose sound begins late, one without words, which is rejected."""
    films = {"a": Film(bframes=2), "b": Film(sound_start=0.5, container="matroska"), "c": Film()}
    lines = []
    for name, film in films.items():
        (tmp_path / f"{name}.video").write_bytes(film.encoded())
        (tmp_path / f"{name}.srt").write_text("" if name == "c" else SRT, encoding="utf-8")
        lines.append(json.dumps({"key": name, "video": f"{name}.video", "subtitles": f"{name}.srt"}))
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def built(manifest: Path, out: Path, *settings: str) -> Dataset:
    """Build the bundled recipe over the films, with one clip a subtitle."""
    common = [f"source.path={manifest}", "split.val=0", "stages.video.cut.gap=0.1", "stages.video.decode.rate=25"]
    return build(Recipe.load("clips", [*common, "stages.text.tokenize.vocabulary=300", *settings]), out, workers=1)


@pytest.mark.parametrize("format_", ["mp4", "npy"])
def test_films_become_clips_that_hold_together(manifest: Path, tmp_path: Path, format_: str) -> None:
    """Four clips, each with its own words, its flash and its click at one time; nothing to complain of; the same bytes again."""
    out = tmp_path / "out"
    dataset = built(manifest, out, f"output.video={{format: {format_}}}")
    assert dataset.description["counts"]["rows_rejected"] == 1
    records = list(dataset)
    assert [record.key for record in records] == ["a-0000", "a-0001", "b-0000", "b-0001"]
    for record in records:
        clip, sound, text = record["video"], record["audio"], record["text"]
        assert isinstance(clip, Video)
        assert isinstance(sound, Audio)
        assert isinstance(text, Text)
        assert text.text == clip.segments[0].label == sound.segments[0].label
        expected = 0.4 if record.key.endswith("0") else 0.2
        assert flash_times(clip) == pytest.approx([expected], abs=0.04)
        assert click_times(sound) == pytest.approx([expected], abs=0.04)
        assert abs(clip.seconds - sound.seconds) < 1e-3
    report = validate(out)
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    again = built(manifest, tmp_path / "again", f"output.video={{format: {format_}}}")
    assert [shard.sha256 for shard in again.shards] == [shard.sha256 for shard in dataset.shards]


@pytest.mark.parametrize("format_", ["mp4", "npy"])
def test_the_loader_batches_clips(manifest: Path, tmp_path: Path, format_: str) -> None:
    """Frames come as uint8 [batch, frames, 3, height, width], padded, with their sizes."""
    dataset = built(manifest, tmp_path / "out", f"output.video={{format: {format_}}}")
    loader = Loader(tmp_path / "out", split="train", batch_size=4, seed=0)
    (batch,) = list(loader)
    frames = batch.fields["video"]
    assert not isinstance(frames, list)
    assert (str(frames.dtype), list(frames.shape)) == ("torch.uint8", [4, 20, 3, 48, 64])
    assert batch.lengths["video"].tolist() == [[20, 48, 64]] * 4
    clip = dataset.find(batch.keys[0])["video"]
    assert isinstance(clip, Video)
    assert np.array_equal(frames[0].permute(0, 2, 3, 1).numpy(), clip.frames)
