"""The library calls that stages stand on, for the cases of `benchmarks.stages`: each gives the bare call for one record.

A library call gets what it needs in hand: bytes, pixels, samples or a text, and tables, models and filters that are made already.
It does what the stage needs of the library: where a stage lays transparent pixels over white, so does the call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from typing import Any, cast

import cv2
import numpy as np
import PIL.Image
import simplejpeg
from numpy.typing import NDArray

from benchmarks.stage_data import Call, outcome_of, results_of
from benchmarks.video_libraries import VIDEO_CALLS
from mmdata.record import Record
from mmdata.rng import rng_for
from mmdata.stages.base import Stage
from mmdata.values import Audio, Image, Text


@dataclass(frozen=True)
class Library:
    """The bare library call that a stage stands on: its name, and what gives the call for one record."""

    name: str
    call: Callable[[Stage, Record], Call]


def _encoded(record: Record) -> bytes:
    return cast("Image", record["image"]).encoded


def _pixels(record: Record) -> NDArray[np.uint8]:
    return cast("Image", record["image"]).pixels


def _samples(record: Record) -> NDArray[np.float32]:
    return cast("Audio", record["audio"]).samples


def _rate(record: Record) -> int:
    return cast("Audio", record["audio"]).rate


def _text(record: Record) -> str:
    return cast("Text", record["text"]).text


def _size_after(stage: Stage, record: Record) -> tuple[int, int]:
    """Return (width, height) of the picture that the stage makes."""
    height, width = _pixels(results_of(outcome_of(stage, record))[0]).shape[:2]
    return width, height


def _pillow(_: Stage, record: Record) -> Call:
    return partial(_over_white, _encoded(record))


def _over_white(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a file with Pillow, transparent ones over white."""
    picture: PIL.Image.Image = PIL.Image.open(BytesIO(data))
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        picture = PIL.Image.new("RGB", colours.size, "white")
        picture.paste(colours, mask=colours)
    return np.asarray(picture.convert("RGB"))


def _resvg(stage: Stage, record: Record) -> Call:
    import resvg_py

    drawing, width = _encoded(record).decode(), _size_after(stage, record)[0]
    return lambda: _over_white(resvg_py.svg_to_bytes(svg_string=drawing, width=width, skip_system_fonts=True))


def _resize(stage: Stage, record: Record) -> Call:
    return partial(cv2.resize, _pixels(record), _size_after(stage, record), interpolation=cv2.INTER_AREA)


def _slice(stage: Stage, record: Record) -> Call:
    pixels, (width, height) = _pixels(record), _size_after(stage, record)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return lambda: np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _border(stage: Stage, record: Record) -> Call:
    pixels, (width, height) = _pixels(record), _size_after(stage, record)
    across, down = width - pixels.shape[1], height - pixels.shape[0]
    sides = down // 2, down - down // 2, across // 2, across - across // 2
    return partial(cv2.copyMakeBorder, pixels, *sides, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def _gaussian(stage: Stage, record: Record) -> Call:
    pixels = _pixels(record)
    return partial(cv2.GaussianBlur, pixels, (0, 0), stage.model_dump()["strength"] * min(pixels.shape[:2]))


@cache
def _face_detector(size: tuple[int, int]) -> Any:  # noqa: ANN401 - OpenCV ships no types
    from mmdata.vision import faces

    with faces._quiet():
        return cv2.FaceDetectorYN.create(str(faces._MODEL), "", size, 0.7)


def _detect(_: Stage, record: Record) -> Call:
    pixels = cv2.cvtColor(_pixels(record), cv2.COLOR_RGB2BGR)
    return partial(_face_detector((pixels.shape[1], pixels.shape[0])).detect, pixels)


def _imagehash(_: Stage, record: Record) -> Call:
    import imagehash

    pixels = _pixels(record)
    return lambda: imagehash.phash(PIL.Image.fromarray(pixels))


def _lookup(_: Stage, record: Record) -> Call:
    pixels, table = _pixels(record), rng_for(0).random((1, 256, 3), np.float32)
    return lambda: np.stack(cv2.split(cv2.LUT(pixels, table)))


def _soundfile(_: Stage, record: Record) -> Call:
    import soundfile

    data = cast("Audio", record["audio"]).encoded
    return lambda: soundfile.read(BytesIO(data), dtype="float32", always_2d=True)


def _soxr(stage: Stage, record: Record) -> Call:
    import soxr

    return partial(soxr.resample, _samples(record)[0], _rate(record), stage.model_dump()["rate"], "HQ")


def _mean(_: Stage, record: Record) -> Call:
    return partial(_samples(record).mean, axis=0, keepdims=True)


def _spectral_gate(_: Stage, record: Record) -> Call:
    from mmdata.dsp.spectral_gate import spectral_gate

    return partial(spectral_gate, _samples(record), _rate(record))


def _network(name: str) -> Callable[[Stage, Record], Call]:
    def call(_: Stage, record: Record) -> Call:
        from mmdata.dsp import neural_denoise

        return partial(getattr(neural_denoise, name), _samples(record), _rate(record))

    return call


def _silero(_: Stage, record: Record) -> Call:
    from mmdata.dsp.speech import speech_probabilities

    return partial(speech_probabilities, _samples(record)[0])


def _librosa_trim(_: Stage, record: Record) -> Call:
    import librosa

    hop = _rate(record) // 100
    return partial(librosa.effects.trim, _samples(record)[0], top_db=40, frame_length=2 * hop, hop_length=hop)


def _pyloudnorm(_: Stage, record: Record) -> Call:
    import pyloudnorm

    meter, samples = pyloudnorm.Meter(_rate(record)), _samples(record).T.astype(np.float64)
    return lambda: pyloudnorm.normalize.loudness(samples, meter.integrated_loudness(samples), -23.0)


def _librosa_mel(_: Stage, record: Record) -> Call:
    import librosa

    options: dict[str, Any] = {"sr": 16000, "n_fft": 400, "hop_length": 160, "n_mels": 80}
    return partial(librosa.feature.melspectrogram, y=_samples(record)[0], **options)


def _normalize(_: Stage, record: Record) -> Call:
    import unicodedata

    return partial(unicodedata.normalize, "NFC", _text(record))


def _ftfy(_: Stage, record: Record) -> Call:
    import ftfy

    return partial(ftfy.fix_encoding, _text(record))


def _langid(_: Stage, record: Record) -> Call:
    from mmdata.stages.language import _identifier

    return partial(_identifier(()).classify, _text(record))


def _tokenizers(stage: Stage, record: Record) -> Call:
    return partial(_tokenizer(stage).encode, _text(record))


@cache
def _tokenizer_of(content: bytes) -> Any:  # noqa: ANN401 - the library is imported where it is used
    from tokenizers import Tokenizer

    return Tokenizer.from_buffer(content)


def _tokenizer(stage: Stage) -> Any:  # noqa: ANN401
    return _tokenizer_of(cast("Any", stage).learned["tokenizer.json"])


@cache
def _spacy(tag: str, *, sentences: bool) -> Any:  # noqa: ANN401
    import spacy

    from mmdata.stages.languages import code_of

    language = spacy.blank(code_of(tag))
    if sentences:
        language.add_pipe("sentencizer")
    return language


def _words(_: Stage, record: Record) -> Call:
    return partial(_spacy(str(record.metadata["lang"]), sentences=False).tokenizer, _text(record))


def _sentences(_: Stage, record: Record) -> Call:
    return partial(_spacy(str(record.metadata["lang"]), sentences=True), _text(record))


def _phones(_: Stage, record: Record) -> Call:
    from phonenumbers import PhoneNumberMatcher

    return lambda: list(PhoneNumberMatcher(_text(record), "DE"))


def _sha256(_: Stage, record: Record) -> Call:
    pixels = np.ascontiguousarray(_pixels(record)).data
    return lambda: hashlib.sha256(pixels).digest()


_CALLS: dict[str, Callable[[Stage, Record], Call]] = {
    "unicodedata.normalize": _normalize,
    "ftfy.fix_encoding": _ftfy,
    "py3langid classify": _langid,
    "spaCy sentencizer": _sentences,
    "tokenizers encode": _tokenizers,
    "spaCy tokenizer": _words,
    "PhoneNumberMatcher": _phones,
    "Pillow, over white": _pillow,
    "resvg_py, Pillow": _resvg,
    "cv2.resize": _resize,
    "array slice": _slice,
    "cv2.copyMakeBorder": _border,
    "cv2.GaussianBlur": _gaussian,
    "YuNet, one size": _detect,
    "imagehash.phash": _imagehash,
    "cv2.LUT, planes apart": _lookup,
    "soundfile.read": _soundfile,
    "soxr.resample": _soxr,
    "numpy mean": _mean,
    "spectral_gate": _spectral_gate,
    "RNNoise": _network("rnnoise"),
    "DeepFilterNet": _network("deepfilternet"),
    "Silero VAD session": _silero,
    "librosa.effects.trim": _librosa_trim,
    "pyloudnorm": _pyloudnorm,
    "librosa melspectrogram": _librosa_mel,
    "hashlib.sha256": _sha256,
    "simplejpeg.decode_jpeg": lambda _, record: partial(simplejpeg.decode_jpeg, _encoded(record), "RGB"),
    **VIDEO_CALLS,
}


def library(name: str) -> Library:
    """Return the library call of a name."""
    return Library(name, _CALLS[name])
