"""Formats: the same value gives the same bytes, and lossless ones give the value back."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from mmdata.dsp.ogg import with_serial_number
from mmdata.errors import RecordError
from mmdata.formats import FORMATS, Flac, Format, Jpg, Mp4, Npy, Ogg, Png, Txt, Wav, Webp, format_of
from mmdata.values import Array, Audio, Image, Text, Video

NOISE = np.random.default_rng(0)
VALUES: dict[str, Any] = {
    "image": Image(NOISE.integers(0, 256, (31, 17, 3), dtype=np.uint8)),
    "audio": Audio((NOISE.integers(-32768, 32768, (2, 4001)) / 32768).astype(np.float32), 16000),
    "text": Text("naïve 日本 🦉\n"),
    "array": Array(NOISE.standard_normal((3, 4)).astype(np.float32)),
}
FRAMES = np.repeat(np.repeat(NOISE.integers(0, 256, (7, 5, 6, 3), dtype=np.uint8), 10, 1), 9, 2)
VALUES["video"] = Video(FRAMES, np.array([0.0, 0.1, 0.25, 0.333333, 0.5, 0.6, 1.2]), seconds=1.5, sound=VALUES["audio"])
EVERY = [Mp4(), Mp4(codec="vp9"), Jpg(), Png(), Webp(), Webp(lossless=True), Flac(), Wav(), Ogg(), Txt(), Npy()]


@pytest.mark.parametrize("format_", EVERY, ids=repr)
def test_same_value_same_bytes(format_: Format[Any]) -> None:
    """Encoding twice gives the same bytes, and the decoded value has the shape of the first."""
    value = VALUES[format_.kind]
    first = format_.encode(value)
    assert first == format_.encode(value)
    decoded = format_.decode(first)
    for name in ("data", "array"):
        if hasattr(value, name):
            assert getattr(decoded, name).shape == getattr(value, name).shape


@pytest.mark.parametrize("format_", [Png(), Webp(lossless=True), Flac(), Wav(), Txt(), Npy()], ids=repr)
def test_lossless_formats_keep_every_value(format_: Format[Any]) -> None:
    """What a lossless format decodes equals what was encoded."""
    value = VALUES[format_.kind]
    decoded = format_.decode(format_.encode(value))
    name = next(name for name in ("data", "array", "text") if hasattr(value, name))
    assert np.array_equal(getattr(decoded, name), getattr(value, name))


@pytest.mark.parametrize("codec", ["h264", "vp9"])
@pytest.mark.parametrize("cut", [0, 1])
def test_mp4_keeps_times_and_sound(codec: Any, cut: int) -> None:
    """Times to the microsecond, the sound to 16 bits, pixels nearly; sides may be odd."""
    value = Video(np.ascontiguousarray(FRAMES[:, cut:, cut:]), *(VALUES["video"].times,), seconds=1.5, sound=VALUES["audio"])
    back = Mp4(codec=codec, quality=10).decode(Mp4(codec=codec, quality=10).encode(value))
    assert back.times == pytest.approx(value.times, abs=1e-9)
    assert back.frames.shape == value.frames.shape
    assert np.abs(back.frames.astype(int) - value.frames).mean() < 12
    assert back.sound is not None
    assert back.sound.rate == 16000
    assert np.array_equal(back.sound.samples, VALUES["audio"].samples)
    assert back.seconds == value.seconds


def test_same_mp4_in_another_process() -> None:
    """Nothing of a process reaches the bytes."""
    code = (
        "import hashlib, sys; from tests.test_formats import VALUES, Mp4;"
        "print(*(hashlib.sha256(Mp4(codec=c).encode(VALUES['video'])).hexdigest() for c in ('h264', 'vp9')))"
    )
    found = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(2)}
    here = [hashlib.sha256(Mp4(codec=codec).encode(VALUES["video"])).hexdigest() for codec in ("h264", "vp9")]
    assert found == {" ".join(here) + "\n"}


def test_samples_beyond_full_scale_are_clipped() -> None:
    """Samples outside of [-1, 1) become the largest value and never wrap around."""
    loud = Audio(np.array([[1.5, -1.5, 1.0]], dtype=np.float32), 8000)
    assert Wav().decode(Wav().encode(loud)).samples.tolist() == [[32767 / 32768, -1.0, 32767 / 32768]]


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"txt"}))
def test_damaged_payload_is_a_record_error(name: str) -> None:
    """A payload that is not of the format is refused with a reason."""
    with pytest.raises(RecordError, match="cannot be decoded|not a known video format"):
        format_of(name).decode(b"not this at all")


def test_pickled_arrays_are_refused() -> None:
    """An array of objects, which only pickle can load, is never loaded."""
    from io import BytesIO

    sink = BytesIO()
    np.save(sink, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RecordError, match="array cannot be decoded"):
        Npy().decode(sink.getvalue())


def test_only_ogg_streams_get_a_serial_number() -> None:
    """Anything but Ogg pages is an error."""
    with pytest.raises(ValueError, match="no Ogg page"):
        with_serial_number(b"x" * 64, 0)
