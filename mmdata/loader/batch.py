"""The batch: what the loader hands out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from mmdata.loader.cuts import Cuts
from mmdata.loader.decoding import channels_of
from mmdata.loader.packed import Packed
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

    `packed` is there where token sequences share rows: it says where each stands in the rows of its field. `cuts` are there only
    on the way to a device: it makes of them the pictures that `fields` lacks till then.
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
    cuts: dict[str, Cuts] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor of the batch."""
        columns = [column for column in self.fields.values() if isinstance(column, torch.Tensor)]
        cuts = [tensor for cuts in self.cuts.values() for tensor in cuts.tensors()]
        packed = [] if self.packed is None else self.packed.tensors()
        return [*columns, *cuts, *self.lengths.values(), self.padding, self.substituted, *packed]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """Return the batch with its tensors on a device."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch with its tensors in page-locked memory; a plain `DataLoader` asks for it."""
        return self.mapped(lambda tensor: tensor if tensor.is_cuda or tensor.is_pinned() else tensor.pin_memory())

    @property
    def nbytes(self) -> int:
        """The memory of its tensors."""
        return sum(tensor.nbytes for tensor in self.tensors())

    def filled(self) -> dict[str, tuple[int, int]]:
        """Return, by field that may be padded, how many of its elements are of records, and how many there are in all.

        Of a batch as `Collation` makes it, before it is copied.
        """
        return {name: self._filled(name, lengths) for name, lengths in self.lengths.items()}

    def _filled(self, name: str, lengths: torch.Tensor) -> tuple[int, int]:
        if self.packed is not None and self.packed.field == name:
            return int(lengths.sum()), self.packed.documents.numel()
        sizes = lengths[:, None] if lengths.ndim == 1 else lengths
        if name in self.cuts:
            return int((sizes > 0).all(1).sum()), len(sizes)  # they will have one size
        return int(sizes.prod(1).sum()), len(sizes) * int(sizes.amax(0).prod())

    def mapped(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """Return the batch with a function applied to every tensor."""
        columns = {name: function(column) if isinstance(column, torch.Tensor) else column for name, column in self.fields.items()}
        cuts = {name: found.mapped(function) for name, found in self.cuts.items()}
        lengths = {name: function(length) for name, length in self.lengths.items()}
        padding, substituted = function(self.padding), function(self.substituted)
        packed = None if self.packed is None else self.packed.mapped(function)
        return replace(self, fields=columns, lengths=lengths, padding=padding, substituted=substituted, packed=packed, cuts=cuts)


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
