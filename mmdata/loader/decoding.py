"""Payloads to arrays: one decoder a field, chosen once from the schema; each lets go of the GIL where the work is.

Arrays stay as narrow as they are stored: 16-bit samples and 32-bit ids are widened on the device, after the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdata.dsp.video_file import require_extra
from mmdata.errors import RecordError
from mmdata.loader.options import LoaderOptions
from mmdata.loader.picture_columns import Cut, DeviceColumn, DeviceJpegs, PictureColumn, PictureField
from mmdata.loader.pictures import whole_picture
from mmdata.loader.scratch import BatchMemory, Scratch
from mmdata.loader.shard_files import Entries, Payloads
from mmdata.loader.views import PictureView, check_views
from mmdata.payload_heads import check_values, read_npy
from mmdata.schema import FieldType

Decoded = NDArray[Any] | str | Cut
Decoder = Callable[[memoryview], Decoded]
"""Decodes a payload; an empty one is that of an absent field. Raises RecordError where the payload is not what it should be."""

_NOTHING = memoryview(b"")

Columns = Mapping[str, PictureColumn]
"""The columns of a batch that pictures are decoded into, by field."""


class RecordDecoder:
    """Decodes the payloads of a record: those of a field with a picture's view into its column, all others by themselves.

    `members` has the field of each extension. With `resize`, pictures of a view get their size here, otherwise they stay cuts,
    which `jpegs` decodes where it is given.
    Raises ConfigError for a view that does not fit its field, MissingExtraError where a library is missing.
    """

    def __init__(
        self,
        members: Mapping[str, str],
        types: Mapping[str, FieldType],
        options: LoaderOptions,
        *,
        resize: bool = True,
        jpegs: DeviceJpegs | None = None,
    ) -> None:
        check_views(options.views, types)
        self._whole: list[tuple[str, str, Decoder]] = []
        self._viewed: list[tuple[str, str, PictureField]] = []
        for extension, name in members.items():
            view = options.views.get(name)
            if isinstance(view, PictureView):
                self._viewed.append((extension, name, PictureField(name, view, _format(extension), resize=resize, jpegs=jpegs)))
            else:
                self._whole.append((extension, name, decoder_of(extension, types[name], options)))

    @property
    def viewed(self) -> tuple[str, ...]:
        """The fields of pictures that are shown through a view."""
        return tuple(name for _, name, _ in self._viewed)

    @property
    def on_device(self) -> bool:
        """Whether the device decodes some of the fields."""
        return any(field.on_device for _, _, field in self._viewed)

    @property
    def random(self) -> bool:
        """Whether the same record is decoded to something else in another epoch."""
        return any(field.random for _, _, field in self._viewed)

    def columns(self, entries: Entries, seed: int, epoch: int, memory: BatchMemory) -> Columns:
        """Return the columns for records of an epoch; `seed`, epoch and keys decide what is drawn at random."""
        return {name: field.column(entries.keys, entries.sizes[name], seed, epoch, memory) for _, name, field in self._viewed}

    def decode_together(self, found: Sequence[Payloads | RecordError], columns: Columns, start: int) -> None:
        """Decode what is better decoded for several records at a time, those of the rows from `start` on."""
        for extension, name, _ in self._viewed:
            column = columns[name]
            if isinstance(column, DeviceColumn):
                column.decode_together(start, [_NOTHING if isinstance(one, RecordError) else one[extension] for one in found])

    def __call__(self, payloads: Mapping[str, memoryview], columns: Columns, row: int) -> dict[str, Decoded]:
        """Return the decoded fields of the record of a row. Raises RecordError where one cannot be decoded."""
        fields: dict[str, Decoded] = {name: decode(payloads[extension]) for extension, name, decode in self._whole}
        for extension, name, _ in self._viewed:
            fields[name] = columns[name].decode(row, payloads[extension])
        return fields


def bytes_in(value: Decoded) -> int:
    """Return how much memory a decoded value takes, about."""
    if isinstance(value, Cut):
        return value.nbytes
    return len(value) if isinstance(value, str) else value.nbytes


def decoder_of(extension: str, type_: FieldType, options: LoaderOptions) -> Decoder:
    """Return the decoder of a field's members. Raises MissingExtraError where a library for it is missing."""
    format_ = _format(extension)
    match type_.kind:
        case "image":
            return partial(whole_picture, format_=format_, scratch=Scratch())
        case "video":
            return _clip_decoder(extension, type_)
        case "audio":
            return partial(_recording, dtype="float32" if format_ == "ogg" else "int16", type_=type_, seconds=options.max_seconds)
        case "text":
            return _text
        case "tokens":
            return partial(_tokens, limit=options.max_tokens)
        case "array":
            return partial(_array, type_=type_)


def _format(extension: str) -> str:
    return extension.rpartition(".")[2]


def _recording(payload: memoryview, dtype: str, type_: FieldType, seconds: float | None) -> NDArray[np.int16 | np.float32]:
    """Return samples [channels, samples]: int16 where the file has 16 bits, else float32."""
    import soundfile

    if not payload:
        return np.zeros((channels_of(type_) or 1, 0), dtype=dtype)
    try:
        with soundfile.SoundFile(BytesIO(payload)) as file:
            if type_.rate not in (None, file.samplerate):
                raise RecordError("recording has another rate", f"{file.samplerate} Hz, not {type_.rate}")
            if channels_of(type_) not in (None, file.channels):
                raise RecordError("recording has other channels", f"{file.channels}, not {channels_of(type_)}")
            frames = file.frames if seconds is None else min(file.frames, max(1, round(seconds * file.samplerate)))
            check_values(frames * file.channels)
            samples: NDArray[np.int16 | np.float32] = file.read(frames, dtype, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise RecordError("recording cannot be decoded", str(error)) from error
    return samples.T


def channels_of(type_: FieldType) -> int | None:
    """Return how many channels every recording of a field has; None where that is not fixed."""
    return type_.shape[0] if type_.shape else None


def _clip_decoder(extension: str, type_: FieldType) -> Decoder:
    if extension.endswith("npy"):
        return partial(_frames, type_=type_)
    require_extra(f"decoding {extension}")
    return _clip


def _frames(payload: memoryview, type_: FieldType) -> NDArray[np.uint8]:
    """Return frames uint8 [frames, height, width, 3] of an npy file."""
    array: NDArray[np.uint8] = _array(payload, type_) if payload else np.zeros((0, 0, 0, 3), np.uint8)
    if array.dtype != np.uint8 or array.ndim != 4:
        raise RecordError("frames are no uint8 pictures", f"{array.dtype} {list(array.shape)}")
    return array


def _clip(payload: memoryview) -> NDArray[np.uint8]:
    """Return frames uint8 [frames, height, width, 3] of an mp4 file; its sound is left out."""
    from mmdata.dsp.mp4 import read_mp4

    return read_mp4(bytes(payload), sound=False).frames if payload else np.zeros((0, 0, 0, 3), np.uint8)


def _text(payload: memoryview) -> str:
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError as error:
        raise RecordError("text is not UTF-8", str(error)) from error


def _tokens(payload: memoryview, limit: int | None) -> NDArray[np.int32]:
    """Return token ids int32 [tokens]."""
    ids = _loaded(payload) if payload else np.zeros(0, dtype=np.int32)
    if ids.ndim != 1 or ids.dtype != np.int32:
        raise RecordError("tokens are no int32 list", f"{ids.dtype} {list(ids.shape)}")
    return ids[:limit]


def _array(payload: memoryview, type_: FieldType) -> NDArray[Any]:
    if not payload:
        return np.zeros([0, *(size or 0 for size in (type_.shape or (0,))[1:])], dtype=type_.dtype or "float32")
    array = _loaded(payload)
    if type_.shape is not None and not _fits(array.shape, type_.shape):
        raise RecordError("array has another shape", f"{list(array.shape)}, not {list(type_.shape)}")
    return array


def _loaded(payload: memoryview) -> NDArray[Any]:
    """Return the array of an npy file, in this machine's byte order and in memory of its own."""
    array = read_npy(payload)
    return array.copy("K") if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, size) for size, want in zip(shape, wanted, strict=True))
