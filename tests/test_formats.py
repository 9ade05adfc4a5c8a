"""Formats: the same value gives the same bytes, and lossless ones give the value back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmdata.dsp.ogg import with_serial_number
from mmdata.errors import RecordError
from mmdata.formats import FORMATS, Flac, Format, Jpg, Npy, Ogg, Png, Txt, Wav, Webp, format_of
from mmdata.values import Array, Audio, Image, Text

NOISE = np.random.default_rng(0)
VALUES: dict[str, Any] = {
    "image": Image(NOISE.integers(0, 256, (31, 17, 3), dtype=np.uint8)),
    "audio": Audio((NOISE.integers(-32768, 32768, (2, 4001)) / 32768).astype(np.float32), 16000),
    "text": Text("naïve 日本 🦉\n"),
    "array": Array(NOISE.standard_normal((3, 4)).astype(np.float32)),
}
EVERY = [Jpg(), Png(), Webp(), Webp(lossless=True), Flac(), Wav(), Ogg(), Txt(), Npy()]


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


def test_samples_beyond_full_scale_are_clipped() -> None:
    """Samples outside of [-1, 1) become the largest value and never wrap around."""
    loud = Audio(np.array([[1.5, -1.5, 1.0]], dtype=np.float32), 8000)
    assert Wav().decode(Wav().encode(loud)).samples.tolist() == [[32767 / 32768, -1.0, 32767 / 32768]]


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"txt"}))
def test_damaged_payload_is_a_record_error(name: str) -> None:
    """A payload that is not of the format is refused with a reason."""
    with pytest.raises(RecordError, match="cannot be decoded"):
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
