"""The cases of `benchmarks.stages`: how each stage is measured, and the library call that it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.stage_data import InputName, Step
from benchmarks.stage_libraries import Library, library


@dataclass(frozen=True)
class Case:
    """One way to measure a stage: its options, the corpus, the stages before it; with `fit`, its fit pass in place of itself."""

    stage: str
    options: Mapping[str, Any] = field(default_factory=dict)
    input: InputName = "stamps"
    before: tuple[Step, ...] = ()
    library: Library | None = None
    fit: bool = False


_PICTURE: tuple[Step, ...] = (("image.decode", {}),)
_SOUND: tuple[Step, ...] = (("audio.decode", {}), ("audio.filter", {"minimum_seconds": 0.5}))
_STEREO: tuple[Step, ...] = (("audio.decode", {"channels": "keep"}),)
_AT_16_KHZ: tuple[Step, ...] = (*_SOUND, ("audio.resample", {"rate": 16000}))
_SMALL: tuple[Step, ...] = (*_PICTURE, ("image.resize", {"size": 224}))
_BY_LANGUAGE = {"language_column": "lang"}

CASES: tuple[Case, ...] = (
    Case("text.normalize", {}, library=library("unicodedata.normalize")),
    Case("text.normalize", {}, "documents", library=library("unicodedata.normalize")),
    Case("text.normalize", {"repair": True}, "documents", library=library("ftfy.fix_encoding")),
    Case("text.language", library=library("py3langid classify")),
    Case("text.quality", {"rules": "caption", **_BY_LANGUAGE}),
    Case("text.quality", _BY_LANGUAGE, "documents"),
    Case("text.sentences", _BY_LANGUAGE, "documents", library=library("spaCy sentencizer")),
    Case("text.chunk", {"most": 200, **_BY_LANGUAGE}, "documents"),
    Case("text.tokenize", {"vocabulary": 4096}, library=library("tokenizers encode")),
    Case("text.tokenize", {"vocabulary": 4096}, "documents", library=library("tokenizers encode")),
    Case("text.tokenize", {"vocabulary": 4096}, "documents", fit=True),
    Case("text.words", _BY_LANGUAGE, library=library("spaCy tokenizer")),
    Case("text.words", _BY_LANGUAGE, "documents", library=library("spaCy tokenizer")),
    Case("text.redact", {"kinds": ["phone"], "regions": ["DE"]}, "personal", library=library("PhoneNumberMatcher")),
    Case("text.redact", _BY_LANGUAGE, "personal"),
    Case("text.redact", _BY_LANGUAGE, "documents"),
    Case("image.decode", {}, "photos", library=library("simplejpeg.decode_jpeg")),
    Case("image.decode", {}, "stamps", library=library("Pillow, over white")),
    Case("image.decode", {}, "drawings", library=library("resvg_py, Pillow")),
    Case("image.resize", {"size": 224}, "photos", _PICTURE, library("cv2.resize")),
    Case("image.crop", {"size": 224}, "photos", _PICTURE, library("array slice")),
    Case("image.crop", {"size": 224, "mode": "salient"}, "photos", _PICTURE),
    Case("image.pad", {"aspect": [1, 1]}, "photos", _PICTURE, library("cv2.copyMakeBorder")),
    Case("image.filter", {}, "photos", _PICTURE),
    Case("image.blur", {"region": "picture"}, "photos", _PICTURE, library("cv2.GaussianBlur")),
    Case("image.blur_faces", {}, "photos", _PICTURE, library("YuNet, one size")),
    Case("image.hash", {}, "photos", _PICTURE, library("imagehash.phash")),
    Case("image.normalize", {"output": "statistics"}, "photos", _SMALL),
    Case("image.normalize", {"output": "array"}, "photos", _SMALL, library("cv2.LUT, planes apart")),
    Case("image.normalize", {}, "photos", _SMALL, fit=True),
    Case("audio.decode", library=library("soundfile.read")),
    Case("audio.resample", {"rate": 16000}, "stamps", _SOUND, library("soxr.resample")),
    Case("audio.channels", {"to": "mono"}, "stamps", _STEREO, library("numpy mean")),
    Case("audio.filter", {}, "stamps", _SOUND),
    Case("audio.denoise", {"method": "spectral"}, "stamps", _SOUND, library("spectral_gate")),
    Case("audio.denoise", {"method": "rnnoise"}, "stamps", _SOUND, library("RNNoise")),
    Case("audio.denoise", {"method": "deepfilternet"}, "stamps", _SOUND, library("DeepFilterNet")),
    Case("audio.speech", {}, "stamps", _AT_16_KHZ, library("Silero VAD session")),
    Case("audio.trim", {}, "stamps", _SOUND, library("librosa.effects.trim")),
    Case("audio.clip", {"minimum": 0.3, "maximum": 0.8}, "stamps", _SOUND),
    Case("audio.loudness", {}, "stamps", _SOUND, library("pyloudnorm")),
    Case("audio.features", {}, "stamps", _AT_16_KHZ, library("librosa melspectrogram")),
    Case("video.cut", {"by": "length", "max_seconds": 2}, "clips", library=library("PyAV demux")),
    Case("video.cut", {"by": "scenes"}, "clips", library=library("PyAV decode, OpenCV norm")),
    Case("video.decode", {"take": "all"}, "clips", library=library("PyAV decode")),
    Case("video.audio", {}, "clips", library=library("PyAV decode of the sound")),
    Case("record.require"),
    Case("record.where", {"expression": 'text.characters < 1000 and lang != "xx"'}),
    Case("record.rename", {"fields": {"text": "caption"}}),
    Case("record.drop", {"fields": ["text"]}),
    Case("record.sample", {"share": 0.9}),
    Case("record.balance", {"by": "lang", "most": 1000}),
    Case("record.balance", {"by": "lang", "most": 1000}, fit=True),
    Case("record.deduplicate", {}, "photos", _PICTURE),
    Case("record.deduplicate", {"fields": ["image"]}, "photos", _PICTURE, library("hashlib.sha256"), fit=True),
    Case("record.deduplicate", {"method": "near"}, "stamps", (*_PICTURE, *_SOUND), fit=True),
)
