"""Make the demo corpus: 48 pictures of Open Clip Art, each with its caption as text and as noisy speech.

The subjects, captions and file formats stand in `demo_corpus.csv`; this script draws, speaks, spoils and
writes them. It needs the drawings of Debian's package openclipart-svg, and the programs espeak-ng and
faketime (espeak-ng seeds its random numbers with the clock, so it runs under a stopped one). The same inputs
and the same library versions give the same files.

    python tools/make_demo_corpus.py --openclipart /usr/share/openclipart/svg --out pipelines/demo
"""

import argparse
import csv
import hashlib
import io
import json
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import resvg_py
import soundfile
import soxr
from PIL import Image

from mmdata.dsp.ogg import with_serial_number

Flaw = Literal["", "truncated", "rotated", "palette", "deep", "empty", "duplicate"]
Samples = npt.NDArray[np.float64]  # [samples], or [samples, channels], full scale 1

HERE = Path(__file__).resolve().parent
TABLE = HERE / "demo_corpus.csv"
DEMO = HERE.parent / "pipelines" / "demo"
DRAWINGS = Path("/usr/share/openclipart/svg")  # where Debian's package puts them

STOPPED_CLOCK = "2020-01-01 00:00:00"
SPEECH_RATE = 22050  # what espeak-ng's formant voices speak at
RDF_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
PUBLIC_DOMAIN = "http://web.resource.org/cc/PublicDomain"

ORIENTATION_TAG = 0x0112
TURN_RIGHT_TO_VIEW = 6  # the EXIF orientation of a camera that was held turned to the left

PICTURE_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpg": ("JPEG", {"quality": 88}),
    "png": ("PNG", {"optimize": True}),
    "webp": ("WEBP", {"quality": 85, "method": 6}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tif": ("TIFF", {"compression": "tiff_adobe_deflate"}),
}
RECORDING_FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


@dataclass(frozen=True)
class Row:
    """One line of the table: a subject, its caption, and what its two files should be like."""

    key: str
    title: str
    text: str
    source: str  # the drawing, relative to the folder of the package
    picture: str  # file suffix: svg, or one of PICTURE_FORMATS
    size: int  # pixels on the long side; no meaning for svg
    background: str  # a colour; empty keeps the transparency
    recording: str  # file suffix: one of RECORDING_FORMATS
    rate: int  # samples a second
    channels: int
    voice: str  # as espeak-ng names it
    flaw: Flaw

    @classmethod
    def from_cells(cls, cells: dict[str, str]) -> Self:
        """Read one line of the table.

        Raises:
            ValueError: the flaw is not a known one, or a number is none.
        """
        flaw = next((known for known in get_args(Flaw) if known == cells["flaw"]), None)
        if flaw is None:
            raise ValueError(f"{cells['key']}: flaw {cells['flaw']!r}; expected one of {get_args(Flaw)}")
        numbers = {name: int(cells[name]) for name in ("size", "rate", "channels")}
        return cls(**{**cells, **numbers, "flaw": flaw})

    @property
    def category(self) -> str:
        """The first part of the key."""
        return self.key.partition("/")[0]

    @property
    def image(self) -> str:
        """The picture's path, relative to the manifest."""
        return f"images/{self.key.partition('/')[2]}.{self.picture}"

    @property
    def audio(self) -> str:
        """The recording's path, relative to the manifest."""
        return f"audio/{self.key.partition('/')[2]}.{self.recording}"


def read_table(path: Path) -> list[Row]:
    """Read the rows in the order of the table."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [Row.from_cells(cells) for cells in csv.DictReader(lines)]


# Pictures


def draw(svg: Path, size: int) -> Image.Image:
    """Render a drawing as RGBA, cut to what is drawn with a narrow margin, `size` pixels on its long side."""
    page = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_path=str(svg), width=1000)))).convert("RGBA")
    drawn = page.crop(page.getchannel("A").getbbox())
    margin = max(drawn.size) // 32
    canvas = Image.new("RGBA", (drawn.width + 2 * margin, drawn.height + 2 * margin))
    canvas.paste(drawn, (margin, margin))
    scale = size / max(canvas.size)
    target = (round(canvas.width * scale), round(canvas.height * scale))
    return canvas.resize(target, Image.Resampling.LANCZOS)


def flatten(drawing: Image.Image, background: str) -> Image.Image:
    """Lay an RGBA drawing over a colour; without one, give it back as it is."""
    if not background:
        return drawing
    under = Image.new("RGBA", drawing.size, background)
    return Image.alpha_composite(under, drawing).convert("RGB")


def encode(picture: Image.Image, suffix: str, **options: object) -> bytes:
    """Encode a picture in the format of a suffix; the options go on top of the format's own."""
    name, usual = PICTURE_FORMATS[suffix]
    buffer = io.BytesIO()
    picture.save(buffer, name, **usual, **options)
    return buffer.getvalue()


def turned_left(picture: Image.Image) -> dict[str, Any]:
    """Return EXIF options that say: the pixels are stored a quarter turn to the left."""
    exif = picture.getexif()
    exif[ORIENTATION_TAG] = TURN_RIGHT_TO_VIEW
    return {"exif": exif}


def deep_grey(picture: Image.Image) -> Image.Image:
    """Return the luma (BT.601) of an RGB picture in 16 bits."""
    luma = np.asarray(picture, dtype=np.float64) @ np.array([0.299, 0.587, 0.114])
    return Image.fromarray(np.rint(luma * 257).astype(np.uint16))


def picture_bytes(row: Row, drawings: Path) -> bytes:
    """Make the picture file of a row, with its flaw."""
    svg = drawings / row.source
    if row.picture == "svg":
        return svg.read_bytes()
    picture = flatten(draw(svg, row.size), row.background)
    match row.flaw:
        case "truncated":
            whole = encode(picture, row.picture)
            return whole[: len(whole) * 6 // 10]
        case "rotated":
            turned = picture.transpose(Image.Transpose.ROTATE_90)
            return encode(turned, row.picture, **turned_left(turned))
        case "palette":
            return encode(picture.quantize(64, Image.Quantize.FASTOCTREE), row.picture)
        case "deep":
            return encode(deep_grey(picture), row.picture)
        case _:
            return encode(picture, row.picture)


# Recordings


def generator_for(text: str) -> np.random.Generator:
    """Return the random numbers of a caption: rows with the same caption sound the same."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def speak(text: str, voice: str, speed: int, pitch: int) -> Samples:
    """Let espeak-ng read a text; speed in words a minute, pitch from 0 to 99."""
    with tempfile.TemporaryDirectory() as folder:
        spoken = Path(folder, "spoken.wav")
        options = ["-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(spoken)]
        subprocess.run(["faketime", "-f", STOPPED_CLOCK, "espeak-ng", *options, text], check=True)
        samples, rate = soundfile.read(spoken, dtype="float64")
    if rate != SPEECH_RATE:
        raise ValueError(f"voice {voice}: espeak-ng spoke at {rate} Hz, expected {SPEECH_RATE}")
    sounding = np.flatnonzero(np.abs(samples) > 1e-3)
    return np.asarray(samples[sounding[0] : sounding[-1] + 1])


def in_frequency(samples: Samples, gain: Samples) -> Samples:
    """Filter one channel by a gain for each bin of its real Fourier transform."""
    return np.fft.irfft(np.fft.rfft(samples) * gain, n=len(samples))


def reverberate(dry: Samples, rate: int, rng: np.random.Generator) -> Samples:
    """Add the late reverberation of a small room: white noise that falls by 60 dB in 0.2 to 0.4 s."""
    seconds = rng.uniform(0.2, 0.4)
    time = np.arange(round(rate * seconds)) / rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail *= rng.uniform(0.2, 0.35) / np.linalg.norm(tail)
    tail[0] = 1
    length = len(dry) + len(tail) - 1
    return np.fft.irfft(np.fft.rfft(dry, length) * np.fft.rfft(tail, length), n=length)


def room_noise(length: int, rate: int, mains: int, rng: np.random.Generator) -> Samples:
    """Return the sound of an empty room, RMS 1: low-passed pink noise, and hum unless `mains` is 0 Hz."""
    frequency = np.fft.rfftfreq(length, 1 / rate)
    pink = 1 / np.sqrt(np.maximum(frequency, 20))
    low_pass = 1 / np.sqrt(1 + (frequency / rng.uniform(2500, 5500)) ** 4)
    noise = in_frequency(rng.standard_normal(length), pink * low_pass)
    noise /= noise.std()
    if mains:
        time = np.arange(length) / rate
        for harmonic, level in ((1, 0.5), (2, 0.35), (3, 0.2), (5, 0.1)):
            noise += level * np.sin(2 * np.pi * (mains * harmonic * time + rng.random()))
    scaled: Samples = noise / noise.std()
    return scaled


def record(row: Row) -> Samples:
    """Return a row's caption as spoken in a room, 10 to 20 dB above the noise, with pauses at both ends."""
    rng = generator_for(row.text)
    speech = speak(row.text, row.voice, speed=int(rng.integers(175, 206)), pitch=int(rng.integers(35, 66)))
    speech = reverberate(soxr.resample(speech, SPEECH_RATE, row.rate), row.rate, rng)
    before, after = (round(row.rate * seconds) for seconds in rng.uniform(0.1, 0.4, 2))
    padded = np.pad(speech, (before, after))
    level = speech.std() / 10 ** (rng.uniform(10, 20) / 20)
    mains = int(rng.choice([0, 0, 50, 60]))
    gains = rng.uniform(0.7, 1.0, row.channels)
    sides = [padded * gain + level * room_noise(len(padded), row.rate, mains, rng) for gain in gains]
    mixed = np.stack(sides, axis=1)
    scaled: Samples = mixed * rng.uniform(0.4, 0.9) / np.abs(mixed).max()
    return scaled


def recording_bytes(row: Row) -> bytes:
    """Make the recording file of a row, with its flaw."""
    if row.flaw == "empty":
        return b""
    container, subtype = RECORDING_FORMATS[row.recording]
    buffer = io.BytesIO()
    soundfile.write(buffer, record(row), row.rate, format=container, subtype=subtype)
    if container != "OGG":
        return buffer.getvalue()
    return with_serial_number(buffer.getvalue(), int(generator_for(row.text).integers(1 << 31)))


# The corpus


def source_of(row: Row, drawings: Path) -> dict[str, str]:
    """Say where a row's picture comes from, as the metadata in the drawing has it.

    Raises:
        ValueError: the drawing does not say that it is in the public domain.
    """
    root = ET.parse(drawings / row.source).getroot()

    def first(tag: str) -> str:
        found = root.find(f".//{{http://purl.org/dc/elements/1.1/}}{tag}")
        return "" if found is None else " ".join("".join(found.itertext()).split())

    license_element = root.find(".//{*}license")
    licence = "" if license_element is None else license_element.get(RDF_RESOURCE, "")
    if licence != PUBLIC_DOMAIN:
        raise ValueError(f"{row.source}: licence {licence!r}; expected public domain: choose another drawing")
    path = str((DRAWINGS / row.source).relative_to("/"))
    return {
        "key": row.key,
        "image": row.image,
        "package": "openclipart-svg",
        "path": path,
        "title": first("title"),
        "author": first("creator"),
        "licence": licence,
    }


def manifest_line(row: Row) -> dict[str, str]:
    """Return what the manifest says about a row."""
    return {
        "key": row.key,
        "image": row.image,
        "audio": row.audio,
        "text": row.text,
        "category": row.category,
        "title": row.title,
    }


def write_lines(path: Path, values: list[dict[str, str]]) -> None:
    """Write one JSON object a line."""
    lines = [json.dumps(value, ensure_ascii=False) + "\n" for value in values]
    path.write_text("".join(lines), encoding="utf-8")


def make(rows: list[Row], drawings: Path, out: Path) -> None:
    """Write the corpus of the rows into a folder, in place of the pictures and recordings it had."""
    for name in ("images", "audio"):
        shutil.rmtree(out / name, ignore_errors=True)
        (out / name).mkdir(parents=True)
    for row in rows:
        (out / row.image).write_bytes(picture_bytes(row, drawings))
        (out / row.audio).write_bytes(recording_bytes(row))
    write_lines(out / "manifest.jsonl", [manifest_line(row) for row in rows])
    write_lines(out / "SOURCES.jsonl", [source_of(row, drawings) for row in rows])


def main() -> None:
    """Read the command line and make the corpus."""
    parser = argparse.ArgumentParser(description="Make the demo corpus.")
    parser.add_argument("--openclipart", type=Path, default=DRAWINGS, help="folder of drawings")
    parser.add_argument("--out", type=Path, default=DEMO, help="folder to write")
    arguments = parser.parse_args()
    rows = read_table(TABLE)
    make(rows, arguments.openclipart, arguments.out)
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(f"{len(rows)} rows, {size / 1e6:.2f} MB in {arguments.out}")


if __name__ == "__main__":
    main()
