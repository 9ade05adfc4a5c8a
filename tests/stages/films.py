"""Small films with a flash and a click at the same moments, in many containers, and how to run a stage over one of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from mmdata.record import Origin, Record
from mmdata.stages.base import Stage
from mmdata.values import Audio, Video

RATE = 16000
BASE = Fraction(1, 12800)


@dataclass(frozen=True)
class Film:
    """What to film: the times of the frames in seconds, when it flashes and clicks, and how it is written."""

    times: tuple[float, ...] = tuple(number / 25 for number in range(100))
    flashes: tuple[float, ...] = (1.0, 2.6)
    container: str = "mp4"
    video: str = "libx264"
    sound: str | None = "aac"
    sound_start: float = 0.0
    size: tuple[int, int] = (64, 48)
    bframes: int = 0
    turn: int = 0

    def pixels(self, number: int) -> NDArray[np.uint8]:
        """Return a frame: grey that grows with its number, a dark left third, white in a flash, which lasts 0.2 s."""
        width, height = self.size
        frame = np.full((height, width, 3), 60 + number % 120, np.uint8)
        if any(flash - 1e-9 <= self.times[number] < flash + 0.2 - 1e-9 for flash in self.flashes):
            frame[:] = 255
        frame[:, : width // 3] = 0
        return frame

    def samples(self, seconds: float) -> NDArray[np.float32]:
        """Return silence with a burst of 0.2 s that begins at each flash, from `sound_start` on."""
        time = np.arange(round((seconds - self.sound_start) * RATE)) / RATE + self.sound_start
        loud = np.any([(time >= flash) & (time < flash + 0.2) for flash in self.flashes], axis=0)
        return np.where(loud, 0.8 * np.sin(2 * np.pi * 1000 * time), 0.0).astype(np.float32)

    def encoded(self) -> bytes:
        """Return the file."""
        sink = BytesIO()
        seconds = self.times[-1] + 0.04
        with av.open(sink, "w", format=self.container) as container:
            options = {"g": "20", "bf": str(self.bframes), "threads": "1", "sc_threshold": "0"}
            stream: Any = container.add_stream(self.video, rate=25, options=options)
            stream.width, stream.height = self.size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = BASE
            heard: Any = container.add_stream(self.sound, rate=RATE, layout="mono") if self.sound else None
            for number, time in enumerate(self.times):
                frame = av.VideoFrame.from_ndarray(self.pixels(number), format="rgb24")
                frame.pts, frame.time_base = round(time / BASE), BASE
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if heard is not None:
                samples = self.samples(seconds)
                sound = av.AudioFrame.from_ndarray(samples[None, :], format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = RATE, round(self.sound_start * RATE), Fraction(1, RATE)
                container.mux(heard.encode(sound))
                container.mux(heard.encode(None))
        data = sink.getvalue()
        return turned(data, self.turn) if self.turn else data


def turned(data: bytes, degrees: int) -> bytes:
    """Return an MP4 file whose first track says that it is to be turned clockwise, as a phone writes it."""
    rows = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in rows)
    return data[:place] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[place + 36 :]


def record(value: Video) -> Record:
    """Make a record of one clip."""
    return Record("k", {"video": value}, Origin(0, "k", "train", "k"))


def run(stages: Sequence[Stage], value: Video) -> list[Record]:
    """Run stages over a clip, each over all records that the one before made."""
    records = [record(value)]
    for stage in stages:
        made = [stage(one, np.random.default_rng(0)) for one in records]
        records = [part for outcome in made for part in (outcome if isinstance(outcome, list) else [outcome])]  # type: ignore[misc]
        assert all(isinstance(one, Record) for one in records), records
    return records


def clip_of(one: Record) -> Video:
    """Return the clip of a record."""
    value = one["video"]
    assert isinstance(value, Video)
    return value


def sound_of(one: Record) -> Audio:
    """Return the recording of a record."""
    value = one["audio"]
    assert isinstance(value, Audio)
    return value


def flash_times(value: Video) -> list[float]:
    """Return when a decoded clip turns white."""
    bright = value.frames[:, :, -8:].mean(axis=(1, 2, 3)) > 220
    return [float(value.times[k]) for k in range(len(bright)) if bright[k] and (k == 0 or not bright[k - 1])]


def click_times(value: Audio) -> list[float]:
    """Return when a recording begins to sound."""
    loud = np.abs(value.samples[0]) > 0.3 * np.abs(value.samples).max()
    places = np.flatnonzero(loud)
    first = places[np.flatnonzero(np.diff(places, prepend=-RATE) > 0.1 * value.rate)]
    return [float(place) / value.rate for place in first]
