"""The library calls that stages over video stand on; see `benchmarks.stage_libraries`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import chain, pairwise
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.stage_data import Call
from mmdata.record import Record
from mmdata.stages.base import Stage
from mmdata.values import Video


def _demuxed(_: Stage, record: Record) -> Call:
    import av

    data = cast("Video", record["video"]).encoded

    def demux() -> int:
        with av.open(BytesIO(data)) as container:
            return sum(packet.size for packet in container.demux())

    return demux


def _frames(data: bytes, short_side: int | None) -> Iterator[NDArray[np.uint8]]:
    """Yield all frames of a clip in RGB, rounded exactly, their short side of so many pixels."""
    import av
    from av.video.reformatter import Interpolation, VideoReformatter

    how = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
    converter = VideoReformatter()
    with av.open(BytesIO(data)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            scale = short_side / min(frame.width, frame.height) if short_side else 1
            sides = round(frame.width * scale), round(frame.height * scale)
            yield converter.reformat(frame, *sides, "rgb24", interpolation=how, threads=1).to_ndarray()


def _decoded(_: Stage, record: Record) -> Call:
    data = cast("Video", record["video"]).encoded
    count = sum(1 for _ in _frames(data, None))

    def decode() -> NDArray[np.uint8]:
        frames = _frames(data, None)
        first = next(frames)
        made = np.empty((count, *first.shape), np.uint8)
        for number, frame in enumerate(chain([first], frames)):
            made[number] = frame
        return made

    return decode


def _scored(_: Stage, record: Record) -> Call:
    from mmdata.stages.video_cut import _SCORED_SIDE

    data = cast("Video", record["video"]).encoded

    def score() -> list[float]:
        frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2HSV) for frame in _frames(data, _SCORED_SIDE)]
        return [cv2.norm(before, now, cv2.NORM_L1) / now.size for before, now in pairwise(frames)]

    return score


def _heard(_: Stage, record: Record) -> Call:
    import av

    data = cast("Video", record["video"]).encoded

    def decode() -> NDArray[Any]:
        with av.open(BytesIO(data)) as container:
            return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)

    return decode


VIDEO_CALLS: dict[str, Callable[[Stage, Record], Call]] = {
    "PyAV demux": _demuxed,
    "PyAV decode, OpenCV norm": _scored,
    "PyAV decode": _decoded,
    "PyAV decode of the sound": _heard,
}
