"""Video files to frames, a stretch at a time: what a file holds, when each frame is seen, and the frames that are wanted.

FFmpeg's libraries decode, through PyAV (the extra `video`). Memory stays bounded by what is asked for: the file is entered at the
key frame before a stretch, and frames that are not wanted are never converted. Times are seconds from the file's first picture
or sound: container times less the earliest start of both streams, where that is above 0, as players show them; edit lists and
start offsets count. Decoders run in one thread, so the same file gives the same frames. Whatever is wrong with a file is a
RecordError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mmdata.errors import MissingExtraError, RecordError
from mmdata.lineage import Affine

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container.input import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

Pixels = NDArray[np.uint8]

# A playlist or a script would open further files and addresses; these hold all there is.
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"
_SEEK_BACK = (0.0, 2.0, 10.0, 60.0)
"""Seconds to enter a file earlier, one after the other: what a container calls a place to begin is not always a key frame."""

_TOLERANCE = 1.0


def require_extra(feature: str) -> None:
    """Raise MissingExtraError where PyAV is not installed."""
    if find_spec("av") is None:
        raise MissingExtraError("video", feature)


@dataclass(frozen=True)
class FrameTime:
    """When a frame is seen: its time in the stream's own units and in seconds, for how long, and whether it is a key frame."""

    stamp: int
    seconds: float
    duration: float
    is_key: bool


@dataclass(frozen=True)
class Clock:
    """The times of a stream as seconds of its file: (stamp * scale - shift) / unit, whole numbers that are rounded once."""

    scale: int
    shift: int
    unit: int

    @classmethod
    def of(cls, base: Fraction, zero: Fraction) -> Clock:
        """Return the clock of a stream whose stamps count `base` seconds each, in a file that begins at `zero` seconds."""
        return cls(base.numerator * zero.denominator, zero.numerator * base.denominator, base.denominator * zero.denominator)

    def seconds(self, stamp: int) -> float:
        """Return the second of the file at which a stamp stands."""
        return (stamp * self.scale - self.shift) / self.unit

    def duration(self, stamps: int) -> float:
        """Return how many seconds so many stamps last."""
        return stamps * self.scale / self.unit


@dataclass(frozen=True)
class VideoFile:
    """An open video file: its container, its video stream, and the sound stream where it has one."""

    container: InputContainer
    video: VideoStream
    sound: AudioStream | None
    zero: Fraction
    """Container time of the file's first picture or sound, in seconds."""

    reformatter: VideoReformatter
    """Converts the frames; it keeps the tables of the conversion, which every frame would make anew."""

    def clock(self, stream: Stream) -> Clock:
        """Return the clock of a stream."""
        return Clock.of(base_of(stream), self.zero)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as stored."""
        return self.video.codec_context.width, self.video.codec_context.height

    def times(self, start: float = 0.0, end: float = math.inf) -> list[FrameTime]:
        """Return the frames seen in [start, end) seconds in the order of their times, without decoding any.

        The first of them may have begun before `start`. Where the pictures begin only after `end`, their first is the one.
        """
        self.enter(start)
        found = sorted((time for time in self._frame_times(end) if time.seconds < end), key=lambda time: time.stamp)
        if not found:
            self.enter(start)
            return list(islice(self._frame_times(math.inf), 1))
        before = sum(time.seconds <= start + 1e-9 for time in found)
        return found[max(0, before - 1) :]

    def _frame_times(self, end: float) -> Iterator[FrameTime]:
        clock, usual = self.clock(self.video), self._usual_duration
        for packet in packets(self.container, self.video):
            if packet.pts is None or packet.is_discard:
                continue
            # A frame is stored no later than at its own time, so nothing that is stored after `end` is seen before it.
            if packet.dts is not None and clock.seconds(packet.dts) > end:
                return
            duration = clock.duration(packet.duration or 0) or usual
            yield FrameTime(packet.pts, clock.seconds(packet.pts), duration, bool(packet.is_keyframe))

    @property
    def _usual_duration(self) -> float:
        return float(1 / self.video.average_rate) if self.video.average_rate else 0.04

    def end(self) -> float:
        """Return when the last frame is over, in seconds; every packet is looked at, none is decoded.

        Raises RecordError where the file says of itself that it is longer.
        """
        self.enter(0.0)
        streams: list[VideoStream | AudioStream] = [self.video, *([self.sound] if self.sound else [])]
        clocks = {stream.index: self.clock(stream) for stream in streams}
        usual = {self.video.index: self._usual_duration}
        ends = dict.fromkeys(clocks, 0.0)
        for packet in packets(self.container, *streams):
            if packet.pts is not None and not packet.is_discard:
                index = packet.stream_index
                duration = clocks[index].duration(packet.duration or 0) or usual.get(index, 0.0)
                ends[index] = max(ends[index], clocks[index].seconds(packet.pts) + duration)
        stated = (self.container.duration or 0) / 1e6
        # Only here does the length stand in the header; of other containers it is a guess, or their tables tell what is missing.
        if "matroska" in self.container.format.name and max(ends.values()) < stated - _TOLERANCE:
            raise RecordError("video is truncated", f"{max(ends.values()):.2f} of {stated:.2f} seconds are there")
        return ends[self.video.index]

    def frames(self, start: float, *, only_key: bool = False) -> Iterator[VideoFrame]:
        """Yield decoded frames in the order of their times, from the key frame before `start` on."""
        self.enter(start)
        context = self.video.codec_context
        context.skip_frame = "NONKEY" if only_key else "DEFAULT"
        context.flush_buffers()
        with damage("video is damaged"):
            for packet in packets(self.container, self.video, flush=True):
                yield from (frame for frame in self.video.decode(packet) if frame.pts is not None)

    def enter(self, start: float) -> None:
        """Go to a key frame that is seen no later than `start`, or to the file's beginning."""
        clock = self.clock(self.video)
        for back in _SEEK_BACK:
            if start <= back:
                break
            seek(self.container, self.video, self.zero, start - back)
            first = next(packets(self.container, self.video), None)
            if first is not None and first.is_keyframe and first.pts is not None and clock.seconds(first.pts) <= start:
                seek(self.container, self.video, self.zero, start - back)
                return
        seek(self.container, self.video, self.zero, -1e6)


def seek(container: InputContainer, stream: VideoStream | AudioStream, zero: Fraction, seconds: float) -> None:
    """Go to the last place before a time from which a stream can be decoded, as far as the container knows it."""
    base = base_of(stream)
    lowest = min(0, stream.start_time or 0)
    stamp = max(lowest, math.floor((Fraction(seconds) + zero) / base))
    with damage("video cannot be searched"):
        container.seek(stamp, stream=stream, backward=True)


def packets(container: InputContainer, *streams: VideoStream | AudioStream, flush: bool = False) -> Iterator[Packet[Any]]:
    """Yield the packets of some streams, and with `flush` the empty ones that end them."""
    with damage("video is damaged"):
        for packet in container.demux(*streams):
            if packet.is_corrupt:
                raise RecordError("video is truncated or damaged", f"the {packet.stream.type} packet at {packet.pts}")
            if packet.size or flush:
                yield packet


def base_of(stream: Stream) -> Fraction:
    """Return the seconds that one unit of a stream's times stands for."""
    assert stream.time_base is not None
    return stream.time_base


@contextmanager
def damage(reason: str) -> Iterator[None]:
    """Turn what FFmpeg says of a file into a RecordError."""
    import av

    try:
        yield
    except MemoryError:  # FFmpeg's own derives from both
        raise
    except (av.FFmpegError, EOFError) as error:
        raise RecordError(reason, str(error)) from error


@contextmanager
def open_video(data: bytes) -> Iterator[VideoFile]:
    """Open the bytes of a video file. Raises RecordError where it is empty, no known video file, or has no pictures."""
    import av
    from av.video.reformatter import VideoReformatter

    if not data:
        raise RecordError("video is empty")
    with damage("not a known video format"):
        container = av.open(BytesIO(data), "r", options={"format_whitelist": _CONTAINERS}, metadata_errors="replace")
    with container:
        videos = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not videos:
            raise RecordError(
                "video has no pictures", f"its streams are {', '.join(s.type for s in container.streams) or 'none'}"
            )
        videos[0].codec_context.thread_count = 1
        sounds = container.streams.audio
        chosen = [videos[0], *sounds[:1]]
        starts = [stream.start_time * base_of(stream) for stream in chosen if stream.start_time is not None]
        zero = max(Fraction(0), min(starts, default=Fraction(0)))
        yield VideoFile(container, videos[0], sounds[0] if sounds else None, zero, VideoReformatter())


def _is_cover(stream: Any) -> bool:  # noqa: ANN401 - any stream
    """Whether a stream is no film but a picture that stands beside the sound, as the cover of an album does."""
    import av.stream

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


@dataclass(frozen=True)
class View:
    """How frames are to be seen: turned upright, with square pixels, and shrunk so that a side fits a limit.

    `size` is the limit in pixels of the short side (`long` False) or the long one; None leaves the size as it is.
    """

    size: int | None = None
    long: bool = False

    def sides(self, width: int, height: int) -> tuple[int, int]:
        """Return the new width and height of frames with square pixels; what is shrunk gets even sides, as encoders want."""
        side = max(width, height) if self.long else min(width, height)
        if self.size is None or side <= self.size:
            return width, height
        scaled = ((axis * self.size + side) // (2 * side) * 2 for axis in (width, height))
        return max(2, next(scaled)), max(2, next(scaled))


def upright(file: VideoFile, frame: VideoFrame, view: View) -> tuple[Pixels, Affine]:
    """Return a frame as it is to be seen, uint8 [height, width, 3], and the map from its stored pixels to these.

    The pixels are a view of the converted frame; they are copied once, into what holds them.
    """
    from av.video.reformatter import Interpolation

    turns = round(frame.rotation / 90) % 4
    aspect = file.video.sample_aspect_ratio or Fraction(1)
    square = max(1, round(frame.width * aspect)) if aspect > 0 else frame.width
    sides = view.sides(*((square, frame.height) if turns % 2 == 0 else (frame.height, square)))
    width, height = sides if turns % 2 == 0 else sides[::-1]
    # Rounded exactly, so that the same frame gives the same pixels on every processor.
    how = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
    seen = file.reformatter.reformat(
        frame, width, height, "rgb24", src_colorspace=_colorspace(frame), interpolation=how, threads=1
    )
    pixels: Pixels = np.rot90(_viewed(seen), turns)
    by = Affine.scale(width / frame.width, height / frame.height)
    for _ in range(turns):
        by, width, height = by.then(Affine(a=0.0, b=1.0, d=-1.0, e=0.0, f=width)), height, width
    return pixels, by


def _viewed(frame: VideoFrame) -> Pixels:
    """Return the pixels of a frame in RGB where they lie, uint8 [height, width, 3]; its rows may have gaps between them."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)  # type: ignore[call-overload]
    return cast("Pixels", rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3))


def _colorspace(frame: VideoFrame) -> int:
    """Return the frame's own colour matrix; where it names none, that of its size: BT.709 from 720 lines on, else BT.601."""
    unspecified, bt709, bt601 = 2, 1, 5
    if int(frame.colorspace) != unspecified:
        return int(frame.colorspace)
    return bt709 if frame.height >= 720 else bt601


def read_frames(file: VideoFile, wanted: Iterable[FrameTime], convert: Callable[[VideoFrame], Pixels]) -> Iterator[Pixels]:
    """Yield each wanted frame converted; they must be in the order of their times, and may come several times.

    Raises RecordError where one of them cannot be decoded.
    """
    waiting = list(wanted)[::-1]
    if not waiting:
        return
    frames = file.frames(waiting[-1].seconds, only_key=all(time.is_key for time in waiting))
    for frame in frames:
        assert frame.pts is not None
        if waiting[-1].stamp < frame.pts:
            break
        if waiting[-1].stamp == frame.pts:
            pixels = convert(frame)
            while waiting and waiting[-1].stamp == frame.pts:
                waiting.pop()
                yield pixels
        if not waiting:
            return
    raise RecordError("video is damaged", f"the frame at {waiting[-1].seconds:.3f} s cannot be decoded")
