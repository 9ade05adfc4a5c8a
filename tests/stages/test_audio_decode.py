"""`audio.decode`: every format is decoded whole or not at all."""

from __future__ import annotations

import math
import re
import struct
from io import BytesIO

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.dsp import flac, mp3
from mmdata.errors import RecordError
from mmdata.stages.audio import Decode
from mmdata.values import Audio, Segment
from tests.stages.sounds import FORMATS, apply, encoded, sound


def reason_of(data: bytes, stage: Decode | None = None) -> str:
    """Return why a file is not decoded."""
    with pytest.raises(RecordError) as caught:
        apply(stage or Decode(), Audio(data))
    return caught.value.reason


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_decoded_in_full(name: str) -> None:
    """Rate, number of samples and content are those that were written; both channels are there."""
    decoded = apply(Decode(channels="keep"), Audio(encoded(name)))
    assert decoded.rate == 48000
    assert decoded.samples.shape == sound().shape
    assert decoded.samples.flags.c_contiguous
    # The Opus encoder does not flush what it looks ahead: its last milliseconds are wrong in the file.
    error = np.abs(decoded.samples - sound())[:, : -480 if name == "opus" else None]
    assert error.max() < FORMATS[name][2]


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_mono_is_the_mean_of_the_channels(channels: int) -> None:
    """Whatever their number."""
    decoded = apply(Decode(), Audio(encoded("float", sound(channels=channels))))
    assert decoded.samples.shape == (1, 48000)
    assert np.abs(decoded.samples[0] - sound(channels=channels).mean(axis=0)).max() < 1e-6


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("cut", [1, 300, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_turned_away(name: str, cut: float) -> None:
    """Whether one byte is missing, some, half, or all but the header."""
    whole = encoded(name)
    missing = int(cut * len(whole)) if cut < 1 else int(cut)
    assert reason_of(whole[:-missing]) == "recording is truncated"


@pytest.mark.parametrize("name", ["wav16", "flac", "vorbis", "opus", "mp3"])
def test_a_file_cut_inside_its_header_is_truncated(name: str) -> None:
    """Twenty bytes name the format, and no more."""
    assert reason_of(encoded(name)[:20]) == "recording is truncated"


def test_a_flac_cut_between_two_frames_is_truncated() -> None:
    """Each frame that is there is whole, but they are fewer than the header says."""
    data = encoded("flac")
    border = [match.start() for match in re.finditer(rb"\xff\xf8", data) if flac.last_frame(data[: match.start()])]
    cuts = [data[:place] for place in border if (last := flac.last_frame(data[:place])) and last.whole]
    assert cuts
    assert {reason_of(cut) for cut in cuts} == {"recording is truncated"}


def test_damage_in_the_middle_is_told_from_a_missing_end() -> None:
    """A FLAC frame that does not check, and an Ogg page that is missing: samples that would shift all that follow."""
    for name in ("flac", "vorbis", "opus"):
        data = bytearray(encoded(name, sound(8.0)))
        data[len(data) // 2 : len(data) // 2 + 4] = bytes(255 - byte for byte in data[len(data) // 2 : len(data) // 2 + 4])
        assert reason_of(bytes(data)) == "recording is damaged"


def test_an_mp3_that_lost_frames_in_the_middle_is_turned_away() -> None:
    """Its header states more samples than there are."""
    data = encoded("mp3", sound(3.0))
    assert reason_of(data[: len(data) // 2] + data[len(data) // 2 + 1000 :]) == "recording is truncated"


def test_files_that_are_no_recordings_are_told_apart() -> None:
    """Nothing, something else, an Ogg stream of another codec, a chain of streams, and a recording without samples."""
    assert reason_of(b"") == "recording is empty"
    unknown = [b"hello world" * 99, b"\x89PNG\r\n\x1a\n" + bytes(99), b"RIFF\0\0\0\0AVI ", b"\xff", b"OggS" + bytes(99)]
    assert {reason_of(data) for data in unknown} == {"not a known sound format"}
    assert reason_of(encoded("vorbis") * 2) == "recording is a chain of several streams"
    for name in ("wav16", "vorbis"):
        assert reason_of(encoded(name, sound(0.0))) == "recording has no samples"
    assert reason_of(flac.with_stated_samples(encoded("flac")[:42], 0)) == "recording has no samples"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_samples_that_are_not_finite_are_turned_away(bad: float) -> None:
    """As they are, or too large for float32."""
    samples = sound().astype(np.float64)
    samples[1, 77] = bad
    assert reason_of(encoded("double", samples)) == "recording has samples that are not finite"


def test_a_recording_that_is_too_long_is_not_decoded() -> None:
    """The header decides; a limit is a limit, not one sample less."""
    data = encoded("wav16", sound(2.0))
    assert reason_of(data, Decode(max_seconds=1.999)) == "recording is too long"
    assert apply(Decode(max_seconds=2.0), Audio(data)).seconds == 2.0


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_read_to_its_end(size: int) -> None:
    """FFmpeg and SoX cannot go back to write the size; what they put there says so."""
    data = bytearray(encoded("wav16"))
    place = data.index(b"data")
    data[place + 4 : place + 8] = struct.pack("<I", size)
    assert apply(Decode(), Audio(bytes(data))).samples.shape == (1, 48000)


def test_a_flac_from_a_pipe_is_read_to_its_end() -> None:
    """Its header states no length, so the last frame does; one that is cut is still found out."""
    data = flac.with_stated_samples(encoded("flac24"), 0)
    decoded = apply(Decode(channels="keep"), Audio(data))
    assert np.abs(decoded.samples - sound()).max() < 1e-6
    assert reason_of(data[:-9]) == "recording is truncated"


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (22050, 2), (16000, 1), (8000, 1)])
def test_an_mp3_without_a_length_header_is_read_to_its_end(rate: int, channels: int) -> None:
    """With a variable bit rate the length cannot be guessed from the first frame; nothing is dropped for that."""
    loud = np.concatenate(
        [sound(1.0, rate, channels) * 1e-3, sound(1.0, rate, channels), sound(1.0, rate, channels) * 0.01], axis=1
    )
    sink = BytesIO()
    soundfile.write(sink, loud.T, rate, "MPEG_LAYER_III", format="MP3", bitrate_mode="VARIABLE", compression_level=0.2)
    data = sink.getvalue()
    frames = mp3.frames_of(data)
    assert frames.has_length
    bare = data[mp3._length_at(data, frames.start) :]
    assert not mp3.frames_of(bare).has_length
    decoded = apply(Decode(channels="keep"), Audio(bare))
    assert 0 <= decoded.samples.shape[1] - loud.shape[1] < 3 * 1152
    assert decoded.samples.shape[1] <= frames.count * (1152 if rate >= 32000 else 576)
    assert reason_of(bare[:-1]) == "recording is truncated"


def test_tags_around_a_recording_do_no_harm() -> None:
    """An ID3v2 tag before an MP3 or a FLAC file, an ID3v1 tag after an MP3, a further chunk after the samples of a WAV."""
    before, after = b"ID3\x03\0\0\0\0\x07\x76" + bytes(1014), b"TAG" + bytes(125)
    for data in (before + encoded("mp3"), encoded("mp3") + after, before + encoded("flac"), encoded("wav16") + b"LIST\2\0\0\0ab"):
        assert apply(Decode(), Audio(data)).samples.shape == (1, 48000)


@given(st.binary(max_size=200), st.sampled_from(sorted(FORMATS)), st.integers(0, 99), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_no_bytes_break_the_decoder(junk: bytes, name: str, place: int, byte: int) -> None:
    """Whatever a file holds, it is decoded or it is a RecordError."""
    header = bytearray(encoded(name, sound(0.05)))
    header[min(place, len(header) - 1)] = byte
    for data in (junk, bytes(header[:16]) + junk, bytes(header)):
        try:
            decoded = apply(Decode(), Audio(data))
        except RecordError:
            continue
        assert decoded.samples.size


def test_segments_of_a_file_are_held_to_its_length() -> None:
    """Those inside stay as they are, without a step; one across the end is clipped, one past it is counted as removed."""
    data = encoded("wav16")
    inside = (Segment(0.0, 0.4, "a"), Segment(0.4, 1.0, "b"))
    kept = apply(Decode(), Audio(data, segments=inside))
    assert (kept.segments, kept.lineage) == (inside, ())
    held = apply(Decode(), Audio(data, segments=(Segment(0.9, 1.2, "a"), Segment(1.5, 2.0, "b"))))
    assert held.segments == (Segment(0.9, 1.0, "a", clipped=True),)
    assert [step.removed for step in held.lineage] == [1]
