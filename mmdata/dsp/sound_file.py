"""Sound files to samples: WAV, AIFF, FLAC, Ogg Vorbis, Ogg Opus and MP3, found by content and held to be whole.

libsndfile decodes all of them. What it says nothing about is checked here: files that were cut off, pages that are missing,
lengths that are only guessed. Whatever is wrong with a file is a RecordError.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmdata.dsp import flac, mp3
from mmdata.dsp.sound_chunks import check_chunks, check_pages
from mmdata.errors import RecordError

SoundFormat = Literal["WAV", "AIFF", "FLAC", "OGG", "MP3"]
Samples = NDArray[np.float32]

_MOST_SAMPLES = 1 << 29
"""Samples times channels: 2 GiB once they are decoded. A few bytes of FLAC can stand for that many."""


@dataclass(frozen=True)
class SoundFile:
    """A sound file that is ready to be decoded: its format, and its bytes with a length that can be relied on."""

    format: SoundFormat
    data: bytes


def format_of(data: bytes) -> SoundFormat | None:
    """Return the format of a sound file by its content; None where it is none of the known ones."""
    if data[:4] in (b"RIFF", b"RIFX", b"RF64") and data[8:12] == b"WAVE":
        return "WAV"
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return "AIFF"
    # The first page of an Ogg file holds nothing but the first packet of the codec, which begins with its name.
    if data[:4] == b"OggS" and (len(data) < 36 or data[28:35] == b"\x01vorbis" or data[28:36] == b"OpusHead"):
        return "OGG"
    start = mp3.after_tags(data)
    if data[start : start + 4] == b"fLaC":
        return "FLAC"
    return "MP3" if data[:3] == b"ID3" or mp3.looks_like_mp3(data) else None


def read_sound(data: bytes, max_seconds: float) -> tuple[Samples, int]:
    """Return the samples of a sound file, float32 [samples, channels], and its rate in Hz.

    Raises RecordError where the file is empty, of no known format, truncated, damaged, or longer than `max_seconds`, or
    holds no samples, or samples that are not finite.
    """
    if not data:
        raise RecordError("recording is empty")
    found = format_of(data)
    if found is None:
        raise RecordError("not a known sound format", f"it begins with the bytes {data[:12].hex(' ')}")
    samples, rate = _decode(_prepared(data, found), max_seconds)
    if not len(samples):
        raise RecordError("recording has no samples", f"the {found} file has {len(data)} bytes")
    if not np.isfinite(samples).all():
        raise RecordError("recording has samples that are not finite", f"{np.count_nonzero(~np.isfinite(samples))} of them")
    return samples, rate


def _prepared(data: bytes, found: SoundFormat) -> SoundFile:
    """Check what the container says of its own end, and write the length into files that do not state it."""
    match found:
        case "WAV" | "AIFF":
            check_chunks(data)
        case "OGG":
            check_pages(data)
        case "FLAC":
            data = _prepared_flac(data[mp3.after_tags(data) :])
        case "MP3":
            data = _prepared_mp3(data)
    return SoundFile(found, data)


def _prepared_flac(data: bytes) -> bytes:
    if len(data) < flac.STREAM_INFO_END:
        raise RecordError("recording is truncated", f"the file ends after {len(data)} bytes, in its header")
    if flac.stated_samples(data):
        return data
    last = flac.last_frame(data)
    return data if last is None else flac.with_stated_samples(data, last.end)


def _prepared_mp3(data: bytes) -> bytes:
    frames = mp3.frames_of(data)
    if frames.cut or frames.count <= 0:
        raise RecordError("recording is truncated", f"the file ends inside a frame, after {max(frames.count, 0)} whole ones")
    return data if frames.has_length else mp3.with_length(data, frames)


def _decode(file: SoundFile, max_seconds: float) -> tuple[Samples, int]:
    """Decode a file that `_prepared` let through."""
    import soundfile

    try:
        with soundfile.SoundFile(BytesIO(file.data)) as sound:
            stated, rate = int(sound.frames), int(sound.samplerate)
            # A FLAC file without a single frame states no length; libsndfile then takes it to be endless.
            if file.format == "FLAC" and not flac.stated_samples(file.data):
                return np.empty((0, sound.channels), np.float32), rate
            if rate <= 0:
                raise RecordError("recording is damaged", f"its rate is {rate} Hz")
            if stated > max_seconds * rate:
                raise RecordError("recording is too long", f"{stated / rate:.1f} seconds, at most {max_seconds:g} are taken")
            if stated * sound.channels > _MOST_SAMPLES:
                raise RecordError("recording has too many samples", f"{stated} in {sound.channels} channels")
            samples: Samples = sound.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise RecordError(_what_is_wrong(file), str(error.error_string)) from error
    # Of WAV and AIFF files the chunks were checked; there only a compressed codec's own delay can make a difference.
    if file.format not in ("WAV", "AIFF") and len(samples) < stated:
        raise RecordError(_what_is_wrong(file), f"{len(samples)} of {stated} samples could be decoded")
    return samples, rate


def _what_is_wrong(file: SoundFile) -> str:
    """Say whether a file that did not decode to its end lacks its end, or is damaged before it."""
    cut = file.format == "MP3"  # a file that lost its last frames, or some in the middle: no frame is numbered
    if file.format == "FLAC":
        last = flac.last_frame(file.data)
        cut = last is None or not last.whole or last.end < flac.stated_samples(file.data)
    return "recording is truncated" if cut else "recording is damaged"
