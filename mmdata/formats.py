"""How one value becomes the payload of a member, and back: the known formats, written out in one table."""

from __future__ import annotations

from abc import abstractmethod
from io import BytesIO
from typing import Annotated, Any, ClassVar, Generic, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mmdata.dsp.ogg import with_serial_number
from mmdata.errors import RecordError
from mmdata.payload_heads import check_values, picture_to_decode, read_npy
from mmdata.values import Array, Audio, Image, Kind, Text, V, Video


class Format(BaseModel, Generic[V]):
    """Base of the formats: a frozen configuration with `encode` and `decode`, both pure functions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[Kind]
    format: str

    @abstractmethod
    def encode(self, value: V) -> bytes:
        """Return the payload: the same value gives the same bytes."""

    @abstractmethod
    def decode(self, payload: bytes) -> V:
        """Return the value, without annotations. Raises RecordError for a payload that is damaged."""


class _Picture(Format[Image]):
    kind: ClassVar[Kind] = "image"

    def decode(self, payload: bytes) -> Image:
        """Return the pixels of the payload."""
        import cv2

        # A damaged payload gives None, or an exception, depending on where the damage is.
        try:
            pixels = cv2.imdecode(np.frombuffer(picture_to_decode(payload, self.format), np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error as error:
            raise RecordError("picture cannot be decoded", str(error)) from error
        if pixels is None:
            raise RecordError("picture cannot be decoded")
        return Image(cast("NDArray[np.uint8]", pixels))


class Jpg(_Picture):
    """JPEG, lossy."""

    format: Literal["jpg"] = "jpg"
    quality: int = Field(90, ge=1, le=100, description="JPEG quality, 1 to 100")
    subsampling: Literal["444", "422", "420"] = Field("420", description="chroma subsampling")

    def encode(self, value: Image) -> bytes:
        """Return a baseline JPEG file."""
        import simplejpeg

        pixels = np.ascontiguousarray(value.pixels)
        return bytes(simplejpeg.encode_jpeg(pixels, quality=self.quality, colorsubsampling=self.subsampling, fastdct=False))


class Png(_Picture):
    """PNG, lossless."""

    format: Literal["png"] = "png"
    compression: int = Field(6, ge=0, le=9, description="zlib level, 0 (fast) to 9 (small)")

    def encode(self, value: Image) -> bytes:
        """Return a PNG file of 8 bits a channel."""
        import PIL.Image

        sink = BytesIO()
        PIL.Image.fromarray(value.pixels).save(sink, "PNG", compress_level=self.compression)
        return sink.getvalue()


class Webp(_Picture):
    """WebP, lossy or lossless."""

    format: Literal["webp"] = "webp"
    quality: int = Field(90, ge=0, le=100, description="quality where lossy, effort where lossless, 0 to 100")
    lossless: bool = Field(default=False, description="whether every pixel is kept")

    def encode(self, value: Image) -> bytes:
        """Return a WebP file."""
        import PIL.Image

        sink = BytesIO()
        PIL.Image.fromarray(value.pixels).save(sink, "WEBP", quality=self.quality, lossless=self.lossless, exact=True)
        return sink.getvalue()


_SOUND_LIMITS = {"FLAC": (8, 655_350), "WAV": (1024, 655_350), "OGG": (16, 192_000)}
"""Most channels, and the highest rate in Hz, that a container holds; the Vorbis encoder crashes above."""


class _Recording(Format[Audio]):
    kind: ClassVar[Kind] = "audio"

    def decode(self, payload: bytes) -> Audio:
        """Return the samples of the payload."""
        import soundfile

        try:
            with soundfile.SoundFile(BytesIO(payload)) as file:
                check_values(file.frames * file.channels)
                samples, rate = file.read(dtype="float32", always_2d=True), file.samplerate
        except soundfile.LibsndfileError as error:
            raise RecordError("recording cannot be decoded", str(error)) from error
        return Audio(np.ascontiguousarray(samples.T), rate)

    def _written(self, value: Audio, container: str, subtype: str, compression: float | None) -> bytes:
        import soundfile

        channels, rates = _SOUND_LIMITS[container]
        if value.rate > rates or value.samples.shape[0] > channels:
            found = f"{value.samples.shape[0]} channels at {value.rate} Hz"
            raise RecordError(f"{container} cannot hold the recording", f"{found}; it holds {channels} channels at {rates} Hz")
        sink = BytesIO()
        samples = _pcm16(value.samples) if subtype == "PCM_16" else value.samples
        soundfile.write(sink, samples.T, value.rate, subtype, format=container, compression_level=compression)
        return sink.getvalue()


def _pcm16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Round to 16 bits; what lies outside of [-1, 1) is clipped. Decoding divides by 32768, so 16-bit input is kept exactly."""
    rounded: NDArray[np.int16] = np.clip(np.rint(samples * np.float32(32768)), -32768, 32767).astype(np.int16)
    return rounded


class Flac(_Recording):
    """FLAC, 16 bits, lossless from there on."""

    format: Literal["flac"] = "flac"
    compression: int = Field(5, ge=0, le=8, description="0 (fast) to 8 (small)")

    def encode(self, value: Audio) -> bytes:
        """Return a FLAC file."""
        return self._written(value, "FLAC", "PCM_16", self.compression / 8)


class Wav(_Recording):
    """WAV, 16-bit PCM."""

    format: Literal["wav"] = "wav"

    def encode(self, value: Audio) -> bytes:
        """Return a WAV file."""
        return self._written(value, "WAV", "PCM_16", None)


class Ogg(_Recording):
    """Ogg Vorbis, lossy."""

    format: Literal["ogg"] = "ogg"
    quality: float = Field(0.6, ge=0, le=1, description="Vorbis quality, 0 (small) to 1 (good)")

    def encode(self, value: Audio) -> bytes:
        """Return an Ogg Vorbis file."""
        # The library draws the stream's serial number at random; any fixed one keeps the bytes the same.
        return with_serial_number(self._written(value, "OGG", "VORBIS", 1 - self.quality), 0)


class Txt(Format[Text]):
    """Plain text in UTF-8."""

    kind: ClassVar[Kind] = "text"
    format: Literal["txt"] = "txt"

    def encode(self, value: Text) -> bytes:
        """Return the text, with nothing added."""
        return value.text.encode()

    def decode(self, payload: bytes) -> Text:
        """Return the text."""
        try:
            return Text(payload.decode())
        except UnicodeDecodeError as error:
            raise RecordError("text is not UTF-8", str(error)) from error


class Npy(Format[Array]):
    """A NumPy array file; never pickled."""

    kind: ClassVar[Kind] = "array"
    format: Literal["npy"] = "npy"

    def encode(self, value: Array) -> bytes:
        """Return an npy file, version 1.0, in C order."""
        sink = BytesIO()
        np.lib.format.write_array(sink, np.ascontiguousarray(value.array), version=(1, 0), allow_pickle=False)
        return sink.getvalue()

    def decode(self, payload: bytes) -> Array:
        """Return the array; an array of objects is refused."""
        return Array(read_npy(payload))


class Mp4(Format[Video]):
    """MP4: H.264 or VP9, lossy, with the clip's sound as FLAC where it was kept; needs the extra `video`."""

    kind: ClassVar[Kind] = "video"
    format: Literal["mp4"] = "mp4"
    codec: Literal["h264", "vp9"] = Field("h264", description="h264 (by x264, which is under the GPL), or vp9")
    quality: int = Field(18, ge=1, le=51, description="constant rate factor of the encoder, 1 (good) to 51 (small)")

    def encode(self, value: Video) -> bytes:
        """Return an MP4 file."""
        from mmdata.dsp.mp4 import Clip, write_mp4

        sound = (value.sound.samples, value.sound.rate) if value.sound is not None else (None, 0)
        return write_mp4(Clip(value.frames, value.times, value.seconds, *sound), self.codec, self.quality)

    def decode(self, payload: bytes) -> Video:
        """Return frames, times and sound of the payload."""
        from mmdata.dsp.mp4 import read_mp4

        clip = read_mp4(payload)
        sound = None if clip.samples is None else Audio(clip.samples, clip.rate)
        return Video(clip.frames, clip.times, seconds=clip.seconds, sound=sound)


AnyFormat = Annotated[Jpg | Png | Webp | Flac | Wav | Ogg | Txt | Npy | Mp4, Field(discriminator="format")]
FORMATS: dict[str, type[Format[Any]]] = {
    "jpg": Jpg, "png": Png, "webp": Webp, "flac": Flac, "wav": Wav, "ogg": Ogg, "txt": Txt, "npy": Npy, "mp4": Mp4,
}  # fmt: skip
DEFAULTS: dict[Kind, Format[Any]] = {
    "image": Jpg(),
    "audio": Flac(),
    "text": Txt(),
    "tokens": Npy(),
    "array": Npy(),
    "video": Mp4(),
}


def holds(format_: Format[Any], kind: Kind) -> bool:
    """Whether a format can hold fields of a kind: clips may also be arrays of frames."""
    return format_.kind == DEFAULTS[kind].kind or (kind == "video" and format_.kind == "array")


def format_of(extension: str) -> Format[Any]:
    """Return a format that decodes the members of this extension. Raises KeyError for one that is not known."""
    name = extension.rpartition(".")[2]
    return FORMATS[name](format=name)
