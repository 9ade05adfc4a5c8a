"""Files that are not what their names say, or not whole, or made to exhaust who reads them; and what a build must say of each."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import soundfile

from tests.corpus import picture, recording

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10">{}</svg>'


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def vast_png(side: int = 30000) -> bytes:
    """Return a whole PNG of side x side white pixels, in some hundred kB."""
    packer = zlib.compressobj(9)
    rows = [packer.compress(b"\0" + b"\xff" * (side // 8)) for _ in range(side)]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"".join(rows) + packer.flush()) + chunk(b"IEND", b"")


def vast_gif() -> bytes:
    """Return a GIF that claims 65535 x 65535 pixels."""
    return (
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\0;"
    )


def flac(seconds: float, rate: int = 8000) -> bytes:
    """Return silence as FLAC: an hour in some hundred kB."""
    sink = BytesIO()
    soundfile.write(sink, np.zeros(round(seconds * rate), np.int16), rate, format="FLAC")
    return sink.getvalue()


def flac_claiming_hours() -> bytes:
    """Return a FLAC whose header says that it has 2 to the 36th samples, less one: the most it can say."""
    data = bytearray(flac(1.0))
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    return bytes(data)


def wav_claiming_hours() -> bytes:
    """Return a WAV whose header says that 2 GB of samples follow."""
    data = bytearray(recording(1))
    place = data.index(b"data")
    data[4:8] = data[place + 4 : place + 8] = struct.pack("<I", 2_000_000_000)
    return bytes(data)


def svg_around(embedded: bytes) -> bytes:
    """Return a small SVG with a PNG in it."""
    data = base64.b64encode(embedded).decode()
    return SVG.format(f'<image width="10" height="10" href="data:image/png;base64,{data}"/>').encode()


def svg_of_many_uses() -> bytes:
    """Return an SVG of a few hundred bytes that asks for ten to the twelfth rectangles."""
    layers = "".join(f'<g id="a{n}">{f"<use href={chr(34)}#a{n - 1}{chr(34)}/>" * 10}</g>' for n in range(1, 13))
    return SVG.format(f'<defs><rect id="a0" width="1" height="1"/>{layers}</defs><use href="#a12"/>').encode()


def svg_of_many_entities() -> bytes:
    """Return an SVG whose entities stand for each other, and in the end for a billion characters."""
    entities = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 11))
    return f"<!DOCTYPE svg [{entities}]>{SVG.format('<desc>&a10;</desc>')}".encode()


def truncated_jpeg() -> bytes:
    """Return the first half of a JPEG."""
    sink = BytesIO()
    PIL.Image.open(BytesIO(picture(1, 200, 200))).save(sink, "JPEG", quality=95)
    return sink.getvalue()[: len(sink.getvalue()) // 2]


@dataclass(frozen=True)
class Trouble:
    """A row whose field names a file of this content (None: there is no file), and the reject that it must give."""

    field: str
    make: Callable[[], bytes] | None
    stage: str
    reason: str
    kind: str = "error"

    def write(self, path: Path) -> None:
        """Write the file, if there is one."""
        if self.make is not None:
            path.write_bytes(self.make())


TROUBLES = {
    "picture-missing": Trouble("image", None, "source", "file is missing"),
    "picture-empty": Trouble("image", lambda: b"", "record.require", "image is empty", "filtered"),
    "picture-truncated": Trouble("image", truncated_jpeg, "image.decode", "picture is truncated"),
    "picture-cut-png": Trouble("image", lambda: picture(1)[:500], "image.decode", "picture is truncated"),
    "picture-damaged": Trouble("image", lambda: picture(1).replace(b"IDAT", b"IDAT\0"), "image.decode", "picture is damaged"),
    "picture-is-sound": Trouble("image", lambda: recording(1), "image.decode", "not a known picture format"),
    "picture-is-text": Trouble("image", lambda: b"<html>404 not found</html>", "image.decode", "not a known picture format"),
    "picture-vast-png": Trouble("image", vast_png, "image.decode", "picture has too many pixels"),
    "picture-vast-gif": Trouble("image", vast_gif, "image.decode", "picture has too many pixels"),
    "picture-vast-in-svg": Trouble("image", lambda: svg_around(vast_png()), "image.decode", "picture has too many pixels"),
    "picture-entities": Trouble("image", svg_of_many_entities, "image.decode", "picture is damaged"),
    "picture-many-uses": Trouble("image", svg_of_many_uses, "image.decode", "vector picture takes too long to draw"),
    "sound-missing": Trouble("audio", None, "source", "file is missing"),
    "sound-empty": Trouble("audio", lambda: b"", "record.require", "audio is empty", "filtered"),
    "sound-truncated": Trouble("audio", lambda: recording(1)[:5000], "audio.decode", "recording is truncated"),
    "sound-cut-flac": Trouble("audio", lambda: flac(9.0)[:150], "audio.decode", "recording is truncated"),
    "sound-is-picture": Trouble("audio", lambda: picture(1), "audio.decode", "not a known sound format"),
    "sound-of-hours": Trouble("audio", lambda: flac(3700.0), "audio.decode", "recording is too long"),
    "sound-claims-hours": Trouble("audio", flac_claiming_hours, "audio.decode", "recording is too long"),
    "sound-claims-2GB": Trouble("audio", wav_claiming_hours, "audio.decode", "recording is truncated"),
    "text-missing": Trouble("note", None, "source", "file is missing"),
    "text-empty": Trouble("note", lambda: b"", "record.require", "note is empty", "filtered"),
    "text-latin-1": Trouble("note", lambda: "Grüße".encode("latin-1"), "source", "text is not UTF-8"),
    "text-utf-16": Trouble("note", lambda: "Grüße".encode("utf-16"), "source", "text is not UTF-8"),
    "text-surrogate": Trouble("note", lambda: b"a \xed\xa0\x80 b", "source", "text is not UTF-8"),
    "text-is-picture": Trouble("note", lambda: picture(1), "source", "text is not UTF-8"),
}
"""One row each: its key names what is wrong with it."""
