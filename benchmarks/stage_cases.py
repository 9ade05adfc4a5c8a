"""The cases of `benchmarks.stages`: how each stage is measured, and the library call that it stands on.

A library call gets what it needs in hand: bytes, pixels, samples or a text, and tables, models and filters that are made already.
It does what the stage needs of the library: where a stage lays transparent pixels over white, so does the call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from io import BytesIO
from itertools import chain, pairwise
from typing import Any, cast

import cv2
import numpy as np
import PIL.Image
import simplejpeg
from numpy.typing import NDArray

from benchmarks.stage_data import InputName, Step, outcome_of, results_of
from mmdata.record import Record
from mmdata.rng import rng_for
from mmdata.stages.base import Stage
from mmdata.values import Audio, Image, Text, Video

Call = Callable[[], object]


@dataclass(frozen=True)
class Library:
    """The bare library call that a stage stands on: its name, and what gives the call for one record."""

    name: str
    call: Callable[[Stage, Record], Call]


@dataclass(frozen=True)
class Case:
    """One way to measure a stage: its options, the corpus, the stages before it; with `fit`, its fit pass in place of itself."""

    stage: str
    options: Mapping[str, Any] = field(default_factory=dict)
    input: InputName = "stamps"
    before: tuple[Step, ...] = ()
    library: Library | None = None
    fit: bool = False


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


def _demuxed(_: Stage, record: Record) -> Call:
    import av

    data = cast("Video", record["video"]).encoded

    def demux() -> int:
        with av.open(BytesIO(data)) as container:
            return sum(packet.size for packet in container.demux())

    return demux


def _frames(data: bytes, short_side: int | None) -> Iterator[NDArray[np.uint8]]:
    """Yield all frames of a clip in RGB, rounded exactly, their short side of so many pixels."""
    import av
    from av.video.reformatter import Interpolation, VideoReformatter

    how = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.BITEXACT
    converter = VideoReformatter()
    with av.open(BytesIO(data)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            scale = short_side / min(frame.width, frame.height) if short_side else 1
            sides = round(frame.width * scale), round(frame.height * scale)
            yield converter.reformat(frame, *sides, "rgb24", interpolation=how, threads=1).to_ndarray()


def _decoded(_: Stage, record: Record) -> Call:
    data = cast("Video", record["video"]).encoded
    count = sum(1 for _ in _frames(data, None))

    def decode() -> NDArray[np.uint8]:
        frames = _frames(data, None)
        first = next(frames)
        made = np.empty((count, *first.shape), np.uint8)
        for number, frame in enumerate(chain([first], frames)):
            made[number] = frame
        return made

    return decode


def _scored(_: Stage, record: Record) -> Call:
    from mmdata.stages.video_cut import _SCORED_SIDE

    data = cast("Video", record["video"]).encoded

    def score() -> list[float]:
        frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2HSV) for frame in _frames(data, _SCORED_SIDE)]
        return [cv2.norm(before, now, cv2.NORM_L1) / now.size for before, now in pairwise(frames)]

    return score


def _heard(_: Stage, record: Record) -> Call:
    import av

    data = cast("Video", record["video"]).encoded

    def decode() -> NDArray[Any]:
        with av.open(BytesIO(data)) as container:
            return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)

    return decode


_PICTURE: tuple[Step, ...] = (("image.decode", {}),)
_SOUND: tuple[Step, ...] = (("audio.decode", {}), ("audio.filter", {"minimum_seconds": 0.5}))
_STEREO: tuple[Step, ...] = (("audio.decode", {"channels": "keep"}),)
_AT_16_KHZ: tuple[Step, ...] = (*_SOUND, ("audio.resample", {"rate": 16000}))
_SMALL: tuple[Step, ...] = (*_PICTURE, ("image.resize", {"size": 224}))
_BY_LANGUAGE = {"language_column": "lang"}

_JPEG = Library("simplejpeg.decode_jpeg", lambda _, record: partial(simplejpeg.decode_jpeg, _encoded(record), "RGB"))

CASES: tuple[Case, ...] = (
    Case("text.normalize", {}, library=Library("unicodedata.normalize", _normalize)),
    Case("text.normalize", {}, "documents", library=Library("unicodedata.normalize", _normalize)),
    Case("text.normalize", {"repair": True}, "documents", library=Library("ftfy.fix_encoding", _ftfy)),
    Case("text.language", library=Library("py3langid classify", _langid)),
    Case("text.quality", {"rules": "caption", **_BY_LANGUAGE}),
    Case("text.quality", _BY_LANGUAGE, "documents"),
    Case("text.sentences", _BY_LANGUAGE, "documents", library=Library("spaCy sentencizer", _sentences)),
    Case("text.chunk", {"most": 200, **_BY_LANGUAGE}, "documents"),
    Case("text.tokenize", {"vocabulary": 4096}, library=Library("tokenizers encode", _tokenizers)),
    Case("text.tokenize", {"vocabulary": 4096}, "documents", library=Library("tokenizers encode", _tokenizers)),
    Case("text.tokenize", {"vocabulary": 4096}, "documents", fit=True),
    Case("text.words", _BY_LANGUAGE, library=Library("spaCy tokenizer", _words)),
    Case("text.words", _BY_LANGUAGE, "documents", library=Library("spaCy tokenizer", _words)),
    Case("text.redact", {"kinds": ["phone"], "regions": ["DE"]}, "personal", library=Library("PhoneNumberMatcher", _phones)),
    Case("text.redact", _BY_LANGUAGE, "personal"),
    Case("text.redact", _BY_LANGUAGE, "documents"),
    Case("image.decode", {}, "photos", library=_JPEG),
    Case("image.decode", {}, "stamps", library=Library("Pillow, over white", _pillow)),
    Case("image.decode", {}, "drawings", library=Library("resvg_py, Pillow", _resvg)),
    Case("image.resize", {"size": 224}, "photos", _PICTURE, Library("cv2.resize", _resize)),
    Case("image.crop", {"size": 224}, "photos", _PICTURE, Library("array slice", _slice)),
    Case("image.crop", {"size": 224, "mode": "salient"}, "photos", _PICTURE),
    Case("image.pad", {"aspect": [1, 1]}, "photos", _PICTURE, Library("cv2.copyMakeBorder", _border)),
    Case("image.filter", {}, "photos", _PICTURE),
    Case("image.blur", {"region": "picture"}, "photos", _PICTURE, Library("cv2.GaussianBlur", _gaussian)),
    Case("image.blur_faces", {}, "photos", _PICTURE, Library("YuNet, one size", _detect)),
    Case("image.hash", {}, "photos", _PICTURE, Library("imagehash.phash", _imagehash)),
    Case("image.normalize", {"output": "statistics"}, "photos", _SMALL),
    Case("image.normalize", {"output": "array"}, "photos", _SMALL, Library("cv2.LUT, planes apart", _lookup)),
    Case("image.normalize", {}, "photos", _SMALL, fit=True),
    Case("audio.decode", library=Library("soundfile.read", _soundfile)),
    Case("audio.resample", {"rate": 16000}, "stamps", _SOUND, Library("soxr.resample", _soxr)),
    Case("audio.channels", {"to": "mono"}, "stamps", _STEREO, Library("numpy mean", _mean)),
    Case("audio.filter", {}, "stamps", _SOUND),
    Case("audio.denoise", {"method": "spectral"}, "stamps", _SOUND, Library("spectral_gate", _spectral_gate)),
    Case("audio.denoise", {"method": "rnnoise"}, "stamps", _SOUND, Library("RNNoise", _network("rnnoise"))),
    Case("audio.denoise", {"method": "deepfilternet"}, "stamps", _SOUND, Library("DeepFilterNet", _network("deepfilternet"))),
    Case("audio.speech", {}, "stamps", _AT_16_KHZ, Library("Silero VAD session", _silero)),
    Case("audio.trim", {}, "stamps", _SOUND, Library("librosa.effects.trim", _librosa_trim)),
    Case("audio.clip", {"minimum": 0.3, "maximum": 0.8}, "stamps", _SOUND),
    Case("audio.loudness", {}, "stamps", _SOUND, Library("pyloudnorm", _pyloudnorm)),
    Case("audio.features", {}, "stamps", _AT_16_KHZ, Library("librosa melspectrogram", _librosa_mel)),
    Case("video.cut", {"by": "length", "max_seconds": 2}, "clips", library=Library("PyAV demux", _demuxed)),
    Case("video.cut", {"by": "scenes"}, "clips", library=Library("PyAV decode, OpenCV norm", _scored)),
    Case("video.decode", {"take": "all"}, "clips", library=Library("PyAV decode", _decoded)),
    Case("video.audio", {}, "clips", library=Library("PyAV decode of the sound", _heard)),
    Case("record.require"),
    Case("record.where", {"expression": 'text.characters < 1000 and lang != "xx"'}),
    Case("record.rename", {"fields": {"text": "caption"}}),
    Case("record.drop", {"fields": ["text"]}),
    Case("record.sample", {"share": 0.9}),
    Case("record.balance", {"by": "lang", "most": 1000}),
    Case("record.balance", {"by": "lang", "most": 1000}, fit=True),
    Case("record.deduplicate", {}, "photos", _PICTURE),
    Case("record.deduplicate", {"fields": ["image"]}, "photos", _PICTURE, Library("hashlib.sha256", _sha256), fit=True),
    Case("record.deduplicate", {"method": "near"}, "stamps", (*_PICTURE, *_SOUND), fit=True),
)
