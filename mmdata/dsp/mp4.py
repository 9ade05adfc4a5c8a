"""MP4 files of a shard: frames and sound to one payload and back, with the times kept to the microsecond.

The pictures are H.264 or VP9 without reordering, so that times in the file are those of the frames; the sound is FLAC of 16 bits,
which begins at its first sample and loses nothing. One thread and no dates: the same clip gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from mmdata.dsp.video_file import View, open_video, upright
from mmdata.dsp.video_sound import read_sound_track
from mmdata.errors import RecordError
from mmdata.payload_heads import check_values

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.container.output import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_MICROSECOND = Fraction(1, 1_000_000)
_BT709 = 1
# x264's faster arithmetic differs from processor to processor, and from run to run by where its memory lies.
_ENCODERS = {
    "h264": ("libx264", {"preset": "medium", "bf": "0", "x264-params": "cpu-independent=1"}),
    "vp9": ("libvpx-vp9", {"deadline": "good", "cpu-used": "4", "b": "0", "lag-in-frames": "0"}),
}


@dataclass(frozen=True, eq=False)
class Clip:
    """What an MP4 file holds.

    Frames uint8 [frames, height, width, 3], their times float64 [frames] in seconds from 0, the seconds that they last in all,
    and samples float32 [channels, samples] with their rate in Hz, or none.
    """

    frames: NDArray[np.uint8]
    times: NDArray[np.float64]
    seconds: float
    samples: NDArray[np.float32] | None = None
    rate: int = 0


def write_mp4(clip: Clip, codec: Literal["h264", "vp9"], quality: int) -> bytes:
    """Return the bytes of a file; `quality` is the encoder's constant rate factor, 0 (best) to 51."""
    import av

    stamps = [round(seconds * 1_000_000) for seconds in (*clip.times, clip.seconds)]
    if stamps[0] != 0 or any(after <= before for before, after in pairwise(stamps)):
        raise RecordError("frames have no times of their own", "the first must be at 0, each later than the one before it")
    sink = BytesIO()
    with av.open(sink, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        pictures = _pictures(container, clip, codec, quality)
        sound = None
        if clip.samples is not None:
            layout = {1: "mono", 2: "stereo"}.get(len(clip.samples), f"{len(clip.samples)}c")
            sound = container.add_stream("flac", rate=clip.rate, layout=layout, options={"flags": "+bitexact"})
            sound.codec_context.format = "s16"
        _mux_pictures(container, pictures, clip.frames, stamps)
        if sound is not None and clip.samples is not None:
            frame = _sound_frame(clip.samples, clip.rate, layout)
            container.mux([*sound.encode(frame), *sound.encode(None)])
    return sink.getvalue()


def _pictures(container: OutputContainer, clip: Clip, codec: Literal["h264", "vp9"], quality: int) -> VideoStream:
    name, options = _ENCODERS[codec]
    rate = Fraction(len(clip.frames) / clip.seconds).limit_denominator(1000) or Fraction(1, 1000)
    wanted = {**options, "crf": str(quality), "flags": "+bitexact"}
    stream = cast("VideoStream", container.add_stream(name, rate=rate, options=wanted))
    context = stream.codec_context
    context.height, context.width = clip.frames.shape[1:3]
    # Chroma of half size needs even sides.
    context.pix_fmt = "yuv420p" if context.height % 2 == context.width % 2 == 0 else "yuv444p"
    context.time_base = stream.time_base = _MICROSECOND
    context.thread_count = 1
    context.color_range = context.colorspace = context.color_primaries = context.color_trc = _BT709
    return stream


def _mux_pictures(container: OutputContainer, stream: VideoStream, frames: NDArray[np.uint8], stamps: Sequence[int]) -> None:
    import av
    from av.video.reformatter import Interpolation

    how = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
    lasts = {start: end - start for start, end in pairwise(stamps)}
    for pixels, start in zip(frames, stamps, strict=False):
        given = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = given.reformat(format=stream.codec_context.pix_fmt, dst_colorspace=_BT709, interpolation=how, threads=1)
        frame.pts, frame.time_base = start, _MICROSECOND
        container.mux(_lasting(stream.encode(frame), lasts))
    container.mux(_lasting(stream.encode(None), lasts))


def _lasting(packets: Sequence[Packet[Any]], lasts: Mapping[int, int]) -> list[Packet[Any]]:
    """Return packets that say how long their frames are seen; encoders assume a constant rate."""
    for packet in packets:
        assert packet.pts is not None
        packet.duration = lasts[packet.pts]
    return list(packets)


def _sound_frame(samples: NDArray[np.float32], rate: int, layout: str) -> AudioFrame:
    import av

    rounded = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(rounded.T.reshape(1, -1)), format="s16", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    return frame


def read_mp4(payload: bytes, *, sound: bool = True) -> Clip:
    """Return what a file holds, as `write_mp4` was given it; without the sound where it is not wanted.

    Raises RecordError for a file that is damaged.
    """
    with open_video(payload) as file:
        frames, stamps, values = [], [], 0
        for frame in file.frames(0.0):
            assert frame.pts is not None
            values += 3 * frame.width * frame.height
            check_values(values)
            frames.append(upright(file, frame, View())[0].copy())
            stamps.append(frame.pts * _exact(frame.time_base))
        if not frames or len(frames) != (file.video.frames or len(frames)):
            raise RecordError("clip cannot be decoded", f"{len(frames)} of {file.video.frames} frames are there")
        if len({frame.shape for frame in frames}) > 1:
            raise RecordError("clip cannot be decoded", "its frames differ in size")
        times = np.array([float(stamp) for stamp in stamps])
        # Decoders may lose how long a frame lasts; the table of the file has it.
        end = float((file.video.duration or 0) * _exact(file.video.time_base))
        heard = _sound_of(payload) if sound and file.sound is not None else (None, 0)
        return Clip(np.stack(frames), times, end, *heard)


def _exact(base: Fraction | None) -> Fraction:
    assert base is not None
    return base


def _sound_of(payload: bytes) -> tuple[NDArray[np.float32] | None, int]:
    """Return all of the sound, however long it is; it is read apart from the pictures."""
    with open_video(payload) as file:
        assert file.sound is not None
        seconds = float((file.sound.duration or 0) * _exact(file.sound.time_base))
        context = file.sound.codec_context
        check_values(round(seconds * context.sample_rate) * context.channels)
        return read_sound_track(file, 0.0, seconds) or (None, 0)
