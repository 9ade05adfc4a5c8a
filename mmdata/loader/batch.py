"""The batch: what the loader hands out, and how decoded records become one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmdata.errors import ConfigError
from mmdata.loader.decoding import channels_of
from mmdata.loader.example import Example
from mmdata.loader.packed import Packed
from mmdata.loader.pictures import Cut, cut_sizes
from mmdata.schema import FieldType

Column = torch.Tensor | list[str]


@dataclass(frozen=True, eq=False)
class Batch:
    """One rank's part of a batch; every column has one row a record, but tokens that are packed.

    `fields` by kind: image uint8 [batch, 3, height, width] and video uint8 [batch, frames, 3, height, width], channels last in
    memory; audio float32 [batch, samples] where the dataset has one channel, else [batch, channels, samples]; tokens int64
    [batch, tokens]; array [batch, …] as stored; text a list of str. Smaller ones are padded with zeros at the end of each axis
    that varies: pictures at the bottom and the right, recordings in samples, clips also in frames, arrays in the axes whose
    size the schema leaves open (the first one, where it knows no shape).

    `lengths`: the sizes without padding; int64 [batch, 2] (height, width) for images, [batch, 3] (frames, height, width) for
    video; int64 [batch] for tokens, and for audio (samples), or [batch, 2] (channels, samples) where the schema leaves the
    channels open; int64 [batch] or [batch, axes] for arrays, none where the shape is fixed. An absent field has length 0.

    `padding` and `substituted`, bool [batch]: rows that repeat the epoch's start to fill its last batch, and rows that stand in
    for a record that could not be read. `epoch` and `step` count from 0; -1 where a plain `DataLoader` made the batch.

    `packed` is there where token sequences share rows: it says where each stands in the rows of its field.
    """

    keys: list[str]
    fields: dict[str, Column]
    lengths: dict[str, torch.Tensor]
    metadata: list[dict[str, Any]]
    padding: torch.Tensor
    substituted: torch.Tensor
    epoch: int = -1
    step: int = -1
    packed: Packed | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor of the batch."""
        columns = [column for column in self.fields.values() if isinstance(column, torch.Tensor)]
        packed = [] if self.packed is None else self.packed.tensors()
        return [*columns, *self.lengths.values(), self.padding, self.substituted, *packed]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Return the batch with its tensors on a device."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch with its tensors in page-locked memory; a plain `DataLoader` asks for it."""
        return self.mapped(lambda tensor: tensor if tensor.is_pinned() else tensor.pin_memory())

    @property
    def nbytes(self) -> int:
        """The memory of its tensors."""
        return sum(tensor.nbytes for tensor in self.tensors())

    def filled(self) -> dict[str, tuple[int, int]]:
        """Return, by field that may be padded, how many of its elements are of records, and how many there are in all.

        Of a batch as `collate` makes it, before it is copied.
        """
        return {name: self._filled(name, lengths) for name, lengths in self.lengths.items()}

    def _filled(self, name: str, lengths: torch.Tensor) -> tuple[int, int]:
        if self.packed is not None and self.packed.field == name:
            return int(lengths.sum()), self.packed.documents.numel()
        sizes = lengths[:, None] if lengths.ndim == 1 else lengths
        column = self.fields[name]
        if isinstance(column, torch.Tensor) and column.dtype == torch.uint8 and column.ndim == 4:
            sizes = sizes[:, :2]  # of pictures that are resized later, a third number says whether they are mirrored
        return int(sizes.prod(1).sum()), len(sizes) * int(sizes.amax(0).prod())

    def mapped(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """Return the batch with a function applied to every tensor."""
        columns = {name: function(column) if isinstance(column, torch.Tensor) else column for name, column in self.fields.items()}
        lengths = {name: function(length) for name, length in self.lengths.items()}
        padding, substituted = function(self.padding), function(self.substituted)
        packed = None if self.packed is None else self.packed.mapped(function)
        return replace(self, fields=columns, lengths=lengths, padding=padding, substituted=substituted, packed=packed)


_NONE: Mapping[str, torch.Tensor] = {}


def collate(
    examples: Sequence[Example], types: Mapping[str, FieldType], columns: Mapping[str, torch.Tensor] = _NONE, *, pin: bool = False
) -> Batch:
    """Return the batch of decoded records, still as narrow as decoded: `Finish` gives it the form that `Batch` promises.

    `columns` are those into which the values were decoded already. With `pin`, the others are made in page-locked memory, from
    which copies to a GPU run beside everything else.
    """
    fields: dict[str, Column] = {}
    lengths: dict[str, torch.Tensor] = {}
    for name, type_ in types.items():
        values: list[Any] = [example.fields[name] for example in examples]
        if type_.kind == "text":
            fields[name] = values
        elif name in columns:
            fields[name], lengths[name] = columns[name], _heights_and_widths(values)
        elif isinstance(values[0], Cut):
            lengths[name] = torch.from_numpy(cut_sizes(values))
            fields[name] = _gathered(values, pin=pin)
        else:
            varying = _varying(type_)
            fields[name], sizes = _padded(name, values, varying, pin=pin)
            if sizes.shape[1]:
                lengths[name] = sizes if len(varying) > 1 else sizes[:, 0].contiguous()
    nothing = torch.zeros(len(examples), dtype=torch.bool)
    keys, metadata = [example.key for example in examples], [dict(example.metadata) for example in examples]
    return Batch(keys, fields, lengths, metadata, nothing, nothing.clone())


def widened(batch: Batch, types: Mapping[str, FieldType]) -> Batch:
    """Return the batch with its types and axes as `Batch` promises; it works where the tensors are, at the device's cost."""
    columns = {name: _widened(column, types[name]) for name, column in batch.fields.items()}
    return replace(batch, fields=columns)


def _widened(column: Column, type_: FieldType) -> Column:
    if not isinstance(column, torch.Tensor):
        return column
    match type_.kind:
        case "image":
            return column.permute(0, 3, 1, 2)
        case "video":
            return column.permute(0, 1, 4, 2, 3)
        case "tokens":
            return column.long()
        case "audio":
            samples = column.float().div_(32768) if column.dtype == torch.int16 else column
            return samples.squeeze(1) if channels_of(type_) == 1 else samples
        case _:
            return column


def _heights_and_widths(pictures: Sequence[NDArray[Any]]) -> torch.Tensor:
    return torch.tensor([picture.shape[:2] for picture in pictures], dtype=torch.int64)


def _gathered(cuts: Sequence[Cut], *, pin: bool) -> torch.Tensor:
    """Return cuts as uint8 [batch, height, width, 3]; what lies beyond one is never read, so it is left as it is."""
    height, width = (max(cut.pixels.shape[axis] for cut in cuts) for axis in (0, 1))
    gathered = torch.empty((len(cuts), height, width, 3), dtype=torch.uint8, pin_memory=pin)
    for row, cut in zip(gathered.numpy(), cuts, strict=True):
        row[: cut.pixels.shape[0], : cut.pixels.shape[1]] = cut.pixels
    return gathered


def _padded(name: str, values: Sequence[NDArray[Any]], varying: Sequence[int], *, pin: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack arrays into [batch, …], zero-padded at the end of the axes that may vary; and their sizes, int64 [batch, axes]."""
    held = [value for value in values if value.size] or values[:1]
    if len({(value.dtype, *_fixed(value.shape, varying)) for value in held}) > 1:
        found = ", ".join(sorted({f"{value.dtype} {list(value.shape)}" for value in held}))
        raise ConfigError(f"field {name!r} differs from record to record ({found}) and fits no batch; leave it out by `fields`")
    # What is empty may be an absent field, whose number of axes nobody knows.
    ndim, dtype = held[0].ndim, held[0].dtype
    values = [value if (value.ndim, value.dtype) == (ndim, dtype) else np.zeros([0] * ndim, dtype) for value in values]
    sizes = np.array([value.shape for value in values], dtype=np.int64)
    make = torch.empty if (sizes == sizes[:1]).all() else torch.zeros
    stacked = make([len(values), *sizes.max(axis=0).tolist()], dtype=torch.from_numpy(np.zeros(0, dtype)).dtype, pin_memory=pin)
    rows = stacked.numpy()
    for row, value in enumerate(values):
        place: tuple[int | slice, ...] = (row, *(slice(size) for size in value.shape))
        rows[place] = value
    return stacked, torch.from_numpy(sizes[:, [axis for axis in varying if axis < ndim]])


def _fixed(shape: tuple[int, ...], varying: Sequence[int]) -> list[int]:
    """Return the sizes of the axes that must agree, and -1 for those that may vary."""
    return [-1 if axis in varying else size for axis, size in enumerate(shape)]


def _varying(type_: FieldType) -> tuple[int, ...]:
    """Return the axes of a decoded value whose sizes differ from record to record."""
    match type_.kind:
        case "image":
            return 0, 1
        case "video":
            return 0, 1, 2
        case "audio":
            return (0, 1) if channels_of(type_) is None else (1,)
        case "array" if type_.shape is not None:
            return tuple(axis for axis, size in enumerate(type_.shape) if size is None)
        case _:
            return (0,)
