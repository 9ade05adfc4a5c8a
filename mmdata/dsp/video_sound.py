"""The sound track of a video file as samples on the clock of its pictures.

What places a sample is its time in the container, so a track that begins late is preceded by silence, and what an encoder put
before the beginning is cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmdata.dsp.video_file import VideoFile, damage, packets, seek
from mmdata.errors import RecordError

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

Samples = NDArray[np.float32]

_LEAD = 0.5
"""Seconds to decode before a stretch begins: every codec has settled by then (Opus asks for 80 ms, RFC 7845)."""

_JITTER = 0.03
"""Seconds by which a frame may lie off the end of the one before it; containers round times, to whole milliseconds at worst."""


def read_sound_track(file: VideoFile, start: float, seconds: float) -> tuple[Samples, int] | None:
    """Return the sound of a stretch: samples float32 [channels, samples] and the rate in Hz; None where the file has no sound.

    Sample 0 is heard at `start` seconds of the file, and there are `seconds` of them, rounded to whole samples and at least one.
    What the track does not cover is silence. Raises RecordError where it is damaged, or changes its channels or its rate.
    """
    if file.sound is None:
        return None
    track: Samples | None = None
    rate = expected = 0
    for frame, began in _decoded(file, start, start + seconds):
        samples = _planar(frame)
        if track is None:
            rate = frame.sample_rate
            track = np.zeros((len(samples), max(1, round(seconds * rate))), np.float32)
            expected = round((began - start) * rate)
        if len(samples) != len(track) or frame.sample_rate != rate:
            raise RecordError("sound track changes its channels or its rate", f"at {began:.3f} s")
        place = round((began - start) * rate)
        if abs(place - expected) <= _JITTER * rate:
            place = expected
        _lay(track, samples, place)
        expected = place + samples.shape[1]
    if track is None:
        return _silence(file, seconds)
    return track, rate


def _silence(file: VideoFile, seconds: float) -> tuple[Samples, int]:
    """Return the stretch of a track that has nothing there."""
    assert file.sound is not None
    context = file.sound.codec_context
    if not context.sample_rate or not context.channels:
        raise RecordError("sound track is damaged", "it says neither its rate nor its channels")
    return np.zeros((context.channels, max(1, round(seconds * context.sample_rate))), np.float32), context.sample_rate


def _lay(track: Samples, samples: Samples, place: int) -> None:
    """Put samples where they belong, as far as they fall into the track."""
    first, last = max(0, place), min(track.shape[1], place + samples.shape[1])
    if first < last:
        track[:, first:last] = samples[:, first - place : last - place]


def _decoded(file: VideoFile, start: float, end: float) -> Iterator[tuple[AudioFrame, float]]:
    """Yield the frames of the sound that are heard in [start, end), each with the second at which it begins."""
    assert file.sound is not None
    stream = file.sound
    clock = file.clock(stream)
    # What comes first after a jump lacks what stood before it; where the jump itself lands is left to the container.
    seek(file.container, stream, file.zero, max(0.0, start - _LEAD) if start > _LEAD else -1e6)
    with damage("sound track is damaged"):
        for packet in packets(file.container, stream, flush=True):
            if packet.pts is not None and clock.seconds(packet.pts) >= end + _LEAD:
                return
            for frame in stream.decode(packet):
                if frame.pts is None or not frame.sample_rate:
                    raise RecordError("sound track has no times", "write the file anew as mp4 or mkv")
                yield frame, clock.seconds(frame.pts)


def _planar(frame: AudioFrame) -> Samples:
    """Return the samples of a frame as float32 [channels, samples], integers scaled to [-1, 1)."""
    samples: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - np.float32(128)) / np.float32(128)
    if samples.dtype.kind == "i":
        samples = samples / float(1 << (8 * samples.dtype.itemsize - 1))
    return np.asarray(samples, dtype=np.float32)
