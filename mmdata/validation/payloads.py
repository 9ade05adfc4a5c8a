"""Decodes the payloads of a record, and compares them with the schema and the measures.

What a file's header promises is read before the file is decoded, so that a hostile one cannot ask for more memory than there is.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import PIL.Image
import soundfile

from mmdata.dsp.flac import stated_digest
from mmdata.errors import RecordError
from mmdata.formats import Format
from mmdata.payload_heads import check_values, read_npy
from mmdata.schema import FieldType
from mmdata.validation.findings import Notes, shown
from mmdata.values import Array, Audio, Image, Text, Value, Video

Sizes = Mapping[str, int | float]
"""What a payload's own header says of its size, by the name of the measure."""

_PICTURES = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
_RECORDINGS = {"flac": ("FLAC", "PCM_16"), "wav": ("WAV", "PCM_16"), "ogg": ("OGG", "VORBIS")}
_PRIVATE = frozenset(["exif", "icc_profile", "xmp", "comment", "photoshop", "XML:com.adobe.xmp", "Raw profile type exif"])
_ENDS = {"jpg": b"\xff\xd9", "png": b"IEND\xaeB`\x82", "webp": b""}


def read_payload(payload: bytes, format_: Format[Any], type_: FieldType, notes: Notes) -> Value | None:
    """Return the value of a payload that is not empty; None where it does not decode, which is noted."""
    notes.covered("payloads")
    try:
        _check_head(payload, format_.format, notes)
        value: Value = format_.decode(payload)
    except RecordError as error:
        notes.error("payloads", str(error))
        return None
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises on a damaged payload is a finding
        notes.error("payloads", f"decoding it raises {type(error).__name__}: {error}")
        return None
    if format_.format == "flac" and isinstance(value, Audio) and not _has_stated_samples(payload, value):
        notes.error("payloads", "its samples are not those that were encoded: their MD5 is not the one in the file")
    for problem in _type_problems(value, type_):
        notes.error("payloads", problem)
    return value


def _check_head(payload: bytes, name: str, notes: Notes) -> None:
    """Check what the header of a payload says. Raises RecordError where it must not be decoded."""
    if name in _PICTURES:
        _check_picture(payload, name, notes)
    elif name in _RECORDINGS:
        _check_recording(payload, name, notes)
    elif name == "npy":
        _check_array(payload)
    elif name == "mp4":
        _check_clip(payload)


def _check_picture(payload: bytes, name: str, notes: Notes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
        try:
            picture = PIL.Image.open(BytesIO(payload), formats=[_PICTURES[name]])
        except Exception as error:
            raise RecordError(f"it is no {_PICTURES[name]} picture", str(error)) from error
    _check_values(3 * picture.width * picture.height)
    if picture.mode != "RGB":
        notes.error("payloads", f"the picture is {picture.mode}, it must be RGB")
    if private := sorted(_PRIVATE & {str(key) for key in picture.info}):
        notes.error("payloads", f"the picture holds metadata: {', '.join(private)}")
    is_cut = int.from_bytes(payload[4:8], "little") + 8 != len(payload) if name == "webp" else not payload.endswith(_ENDS[name])
    if is_cut:
        raise RecordError("the picture ends early, or something follows it")


def _check_recording(payload: bytes, name: str, notes: Notes) -> None:
    try:
        info = soundfile.info(BytesIO(payload))
    except RuntimeError as error:
        raise RecordError("it is no recording", str(error)) from error
    if (info.format, info.subtype) != _RECORDINGS[name]:
        container, subtype = _RECORDINGS[name]
        notes.error("payloads", f"the recording is {info.format} {info.subtype}, it must be {container} {subtype}")
    _check_values(info.frames * info.channels)


def _has_stated_samples(payload: bytes, value: Audio) -> bool:
    """Whether 16-bit samples have the digest that a FLAC file gives of them; decoders may take a damaged frame for sound."""
    samples = np.rint(value.samples.T * np.float32(32768)).astype("<i2")
    return hashlib.md5(samples.tobytes(), usedforsecurity=False).digest() == stated_digest(payload)


def _check_array(payload: bytes) -> None:
    if not read_npy(payload).flags.c_contiguous:
        raise RecordError("array cannot be read", "it must be in C order")


def _check_clip(payload: bytes) -> None:
    from mmdata.dsp.video_file import open_video

    with open_video(payload) as file:
        width, height = file.size
        _check_values(3 * width * height * file.video.frames)


def _check_values(count: int) -> None:
    if count <= 0:
        raise RecordError("it says of itself that it is empty")
    check_values(count)


def _type_problems(value: Value, type_: FieldType) -> list[str]:
    match value:
        case Image():
            return _differs(value.pixels, type_)
        case Audio():
            rate = [] if type_.rate in {None, value.rate} else [f"its rate is {value.rate} Hz, the schema says {type_.rate}"]
            return rate + _differs(value.samples, type_)
        case Array():
            return _differs(value.array, type_)
        case Video():
            return _differs(value.frames, type_)
        case _:
            return []


def _differs(array: np.ndarray[Any, Any], type_: FieldType) -> list[str]:
    problems = []
    if type_.dtype is not None and array.dtype.name != type_.dtype:
        problems.append(f"its dtype is {array.dtype}, the schema says {type_.dtype}")
    if type_.shape is not None and not _fits(array.shape, type_.shape):
        problems.append(f"its shape is {list(array.shape)}, the schema says {list(type_.shape)}")
    return problems


def _fits(shape: Sequence[int], promised: Sequence[int | None]) -> bool:
    return len(shape) == len(promised) and all(wanted in (None, size) for size, wanted in zip(shape, promised, strict=True))


def check_measures(name: str, value: Value | None, type_: FieldType, measures: Mapping[str, Any], notes: Notes) -> None:
    """Check the built-in measures of a field against its value; those of an absent field are zero."""
    for measure, actual in _sizes(value, type_).items():
        notes.covered("measures")
        told = measures.get(f"{name}.{measure}")
        # An mp4 keeps time to the microsecond.
        is_close = type_.kind == "video" and isinstance(told, float) and abs(told - actual) <= 1e-6
        if told != actual and not is_close:
            notes.error("measures", f"{name}.{measure} is {shown(told)}, but the payload has {actual}")


def _sizes(value: Value | None, type_: FieldType) -> Sizes:
    match value:
        case Text():
            return {"characters": len(value.text)}
        case Array() if type_.kind == "tokens":
            return {"tokens": value.array.size}
        case None:
            return _NOTHING.get(type_.kind, {})
        case _:
            return _extent(value)


_NOTHING: dict[str, Sizes] = {
    "image": {"width": 0, "height": 0},
    "audio": {"seconds": 0.0},
    "video": {"seconds": 0.0, "frames": 0, "width": 0, "height": 0},
    "text": {"characters": 0},
    "tokens": {"tokens": 0},
}


def _extent(value: Value) -> Sizes:
    match value:
        case Image():
            return {"width": value.pixels.shape[1], "height": value.pixels.shape[0]}
        case Audio():
            return {"seconds": value.seconds}
        case Video():
            count, height, width = value.frames.shape[:3]
            return {"seconds": value.seconds, "frames": count, "width": width, "height": height}
        case _:
            return {}
