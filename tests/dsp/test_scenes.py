"""Scores and cuts of scenes against PySceneDetect, from whose detector they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scenedetect
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scenedetect.detector import FlashFilter
from scenedetect.detectors import ContentDetector

from mmdata.dsp.scenes import content_changes, scene_cuts
from mmdata.stages.video_cut import Cut
from mmdata.values import Video
from tests.stages.films import Film, clip_of, run

RATE = 25.0


def scenes(lengths: list[int], seed: int) -> NDArray[np.uint8]:
    """Make frames of so many scenes: coloured blocks that flicker a little within a scene, uint8 [frames, 24, 32, 3]."""
    rng = np.random.default_rng(seed)
    blocks = [np.repeat(rng.integers(0, 256, (3, 4, 3)), length, axis=0).reshape(3, length, 4, 3) for length in lengths]
    coarse = np.concatenate([block.transpose(1, 0, 2, 3) for block in blocks])
    frames = coarse.repeat(8, axis=1).repeat(8, axis=2) + rng.integers(-3, 4, (len(coarse), 24, 32, 3))
    return np.clip(frames, 0, 255).astype(np.uint8)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 999), st.floats(5.0, 60.0), st.integers(1, 12))
def test_scores_and_cuts_are_those_of_the_reference(lengths: list[int], seed: int, threshold: float, least: int) -> None:
    """Each frame has the same score, and the same frames begin a scene, where short scenes are suppressed."""
    frames = scenes(lengths, seed)
    statistics = scenedetect.StatsManager()
    detector = ContentDetector(threshold, min_scene_len=least, filter_mode=FlashFilter.Mode.SUPPRESS)
    detector.stats_manager = statistics
    cuts: list[int] = []
    times = [scenedetect.FrameTimecode(number, RATE) for number in range(len(frames))]
    for time, frame in zip(times, frames, strict=True):
        cuts += [cut.frame_num for cut in detector.process_frame(time, np.ascontiguousarray(frame[..., ::-1]))]
    scores = list(content_changes(frames))
    expected = [statistics.get_metrics(time, ["content_val"])[0] for time in times]
    assert scores == pytest.approx([score or 0.0 for score in expected], abs=1e-6)
    ours = scene_cuts(enumerate(scores), threshold, least)
    assert ours == cuts


def test_a_film_is_cut_where_the_reference_cuts_it(tmp_path: Path) -> None:
    """To within a frame, in a file that both read by themselves."""
    film = Film(flashes=(1.0, 2.6))
    path = tmp_path / "film.mp4"
    path.write_bytes(film.encoded())
    found = scenedetect.detect(str(path), ContentDetector(15.0, min_scene_len=3, filter_mode=FlashFilter.Mode.SUPPRESS))
    clips = [clip_of(part) for part in run([Cut(by="scenes", min_seconds=0.12, threshold=15.0)], Video(film.encoded()))]
    assert len(found) == 5
    assert [clip.start for clip in clips] == pytest.approx([start.seconds for start, _ in found], abs=0.041)
