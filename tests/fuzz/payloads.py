"""Targets that decode: picture and sound files of a corpus, and the payloads of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image

from mmdata.dsp.ogg import with_serial_number
from mmdata.dsp.sound_file import read_sound
from mmdata.errors import RecordError
from mmdata.formats import FORMATS, Format
from mmdata.loader import LoaderOptions
from mmdata.loader.decoding import decoder_of
from mmdata.payload_heads import MOST_VALUES
from mmdata.schema import FieldType
from mmdata.stages.image_decode import Decode
from mmdata.values import Array, Audio, Image, Kind, Text, Value
from tests.fuzz.target import Reader, Target
from tests.stages.sounds import FORMATS as SOUNDS
from tests.stages.sounds import encoded, sound

_SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 20 10"><defs>'
    b'<linearGradient id="g"><stop offset="0" stop-color="red"/></linearGradient><mask id="m"><rect width="5" height="5"/></mask>'
    b'</defs><g id="a" mask="url(#m)"><path d="M0 0L9 9H3V4C1 2 3 4 5 6Z" fill="url(#g)"/></g><use xlink:href="#a"/></svg>'
)
_SMALL = 64
_MOST_PIXELS = 1 << 20


def _saved(format_: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 13, 3), np.uint8)
    sink = BytesIO()
    PIL.Image.fromarray(pixels).save(sink, format_, **options)
    return sink.getvalue()


def _pictures(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    del folder
    stage, rng = Decode(max_pixels=_MOST_PIXELS, svg_size=_SMALL), np.random.default_rng(0)
    seeds = [_saved(name) for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")]
    seeds += [_saved("TIFF", compression="tiff_lzw"), _saved("JPEG", progressive=True), _saved("WEBP", lossless=True), _SVG]

    def read(data: bytes) -> None:
        pixels = stage.apply(Image(data), rng).pixels
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.size <= 3 * _MOST_PIXELS

    return read, seeds


def _sounds(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    del folder
    seeds = [encoded(name, sound(0.05, 8000), 8000) for name in SOUNDS if name != "opus"]

    def read(data: bytes) -> None:
        samples, rate = read_sound(data, 60.0)
        assert rate > 0
        assert np.isfinite(samples).all()
        assert len(samples) <= 60 * rate

    return read, seeds


def _member(format_: Format[Value], value: Value, type_: FieldType) -> Target:
    """Decodes a payload as the library does, and as the loader does."""

    def open_(folder: Path) -> tuple[Reader, Sequence[bytes]]:
        del folder
        decode = decoder_of(format_.format, type_, LoaderOptions())

        def read(data: bytes) -> None:
            for way in (_array_of(format_.decode), decode):
                try:
                    found = way(memoryview(data))
                except RecordError:
                    continue
                assert not isinstance(found, np.ndarray) or found.size <= MOST_VALUES

        return read, [format_.encode(value)]

    return Target(f"member-{format_.format}", open_)


def _array_of(decode: Callable[[bytes], Value]) -> Callable[[memoryview], object]:
    def read(data: memoryview) -> object:
        match decode(bytes(data)):
            case Image() as image:
                return image.pixels
            case Audio() as audio:
                return audio.samples
            case Array() as array:
                return array.array
            case other:
                return other

    return read


def _ogg_pages(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    del folder

    def read(data: bytes) -> None:
        try:
            assert len(with_serial_number(data, 0)) == len(data)
        except ValueError:
            return

    return read, [encoded("vorbis", sound(0.05, 8000), 8000)]


def _members() -> list[Target]:
    image = Image(np.random.default_rng(0).integers(0, 255, (9, 13, 3), np.uint8))
    audio, array = Audio(sound(0.05, 8000, 1), 8000), Array(np.arange(6, dtype=np.float32).reshape(2, 3))
    values: dict[Kind, Value] = {"image": image, "audio": audio, "array": array, "text": Text("a text")}
    names = ("jpg", "png", "webp", "flac", "wav", "ogg", "npy", "txt")
    formats = [FORMATS[name](format=name) for name in names]
    return [_member(format_, values[format_.kind], FieldType(format_.kind)) for format_ in formats]


_CHUNKS = (
    b"IDAT",
    b"iCCP",
    b"zTXt",
    b"acTL",
    b"RIFF",
    b"VP8X",
    b"data",
    b"fmt ",
    b"ds64",
    b"SSND",
    b"OggS",
    b"fLaC",
    b"ID3",
    b"Xing",
)
_XML = (
    b"<!DOCTYPE svg [<!ENTITY a 'b'>]>",
    b"&a;",
    b"<use href='#a'/>",
    b"url(#m)",
    b"<text>x</text>",
    b"1e30",
    b"data:image/png;base64,",
    b"<g>" * 500,
)

TARGETS = (
    Target("pictures", _pictures, (*_CHUNKS, *_XML)),
    Target("sounds", _sounds, _CHUNKS),
    Target("ogg-pages", _ogg_pages, _CHUNKS),
    *_members(),
)
