"""Collating: decoded records become the columns of a batch, which many threads may fill at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmdata.errors import ConfigError
from mmdata.loader.batch import Batch, Column
from mmdata.loader.cuts import Cuts
from mmdata.loader.decoding import Columns, channels_of
from mmdata.loader.example import Example
from mmdata.loader.picture_columns import Cut, ResizedColumn
from mmdata.loader.scratch import BatchMemory
from mmdata.schema import FieldType

_NONE: Columns = {}


@dataclass(frozen=True, eq=False)
class _Filling:
    """A column that waits for its values: `rows` is its memory; what lies beyond a value is to be zero."""

    rows: NDArray[Any]
    values: Sequence[NDArray[Any]]

    def fill(self, start: int, stop: int) -> None:
        """Write the values of these rows."""
        whole = self.rows.shape[1:]
        for row, value in enumerate(self.values[start:stop], start):
            if value.shape == whole:
                self.rows[row] = value
                continue
            self.rows[row] = 0
            place: tuple[int | slice, ...] = (row, *(slice(size) for size in value.shape))
            self.rows[place] = value


class Collation:
    """The batch of some records, whose columns are allocated first and filled by any threads, in any parts, before it is taken.

    `columns` are those that pictures were decoded into; all others are made in `memory`.
    Raises ConfigError where the values of a field do not fit together.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        types: Mapping[str, FieldType],
        columns: Columns = _NONE,
        memory: BatchMemory | None = None,
    ) -> None:
        self._examples, self._memory = examples, memory or BatchMemory()
        self._fields: dict[str, Column] = {}
        self._lengths: dict[str, torch.Tensor] = {}
        self._cuts: dict[str, Cuts] = {}
        self._fillings: list[_Filling] = []
        for name, type_ in types.items():
            values: list[Any] = [example.fields[name] for example in examples]
            if type_.kind == "text":
                self._fields[name] = values
            elif isinstance(values[0], Cut):
                cuts = values[0].column.joined(values)
                self._cuts[name], self._lengths[name] = cuts, cuts.sizes
            elif isinstance(column := columns.get(name), ResizedColumn):
                self._fields[name], self._lengths[name] = column.taking_in(values)
            else:
                self._pad(name, values, type_)

    @property
    def nbytes(self) -> int:
        """The memory that is to be filled."""
        return sum(filling.rows.nbytes for filling in self._fillings)

    def fill(self, start: int, stop: int) -> None:
        """Write the values of these records into their rows."""
        for filling in self._fillings:
            filling.fill(start, stop)

    def batch(self) -> Batch:
        """Return the batch, still as narrow as decoded: `Finish` gives it the form that `Batch` promises."""
        nothing = torch.zeros(len(self._examples), dtype=torch.bool)
        keys, metadata = [example.key for example in self._examples], [dict(example.metadata) for example in self._examples]
        return Batch(keys, self._fields, self._lengths, metadata, nothing, nothing.clone(), cuts=self._cuts)

    def _pad(self, name: str, values: Sequence[NDArray[Any]], type_: FieldType) -> None:
        """Allocate for arrays, [batch, …], zero-padded at the end of the axes that may vary."""
        varying = _varying(type_)
        held = [value for value in values if value.size] or values[:1]
        if len({(value.dtype, *_fixed(value.shape, varying)) for value in held}) > 1:
            found = ", ".join(sorted({f"{value.dtype} {list(value.shape)}" for value in held}))
            raise ConfigError(
                f"field {name!r} differs from record to record ({found}) and fits no batch; leave it out by `fields`"
            )
        # What is empty may be an absent field, whose number of axes nobody knows.
        ndim, dtype = held[0].ndim, held[0].dtype
        values = [value if (value.ndim, value.dtype) == (ndim, dtype) else np.zeros([0] * ndim, dtype) for value in values]
        sizes = np.array([value.shape for value in values], dtype=np.int64)
        self._allocate(name, _column_shape(sizes, type_, varying), values)
        axes = [axis for axis in varying if axis < ndim]
        if axes:
            self._lengths[name] = torch.from_numpy(sizes[:, axes] if len(varying) > 1 else sizes[:, axes[0]].copy())

    def _allocate(self, name: str, shape: tuple[int, ...], values: Sequence[NDArray[Any]]) -> None:
        dtype = torch.from_numpy(np.zeros(0, values[0].dtype)).dtype
        column = self._memory.empty((len(values), *shape), dtype)
        self._fields[name] = column
        self._fillings.append(_Filling(column.numpy(), values))


def collate(examples: Sequence[Example], types: Mapping[str, FieldType]) -> Batch:
    """Return the batch of decoded records, as `Collation` makes it."""
    collation = Collation(examples, types)
    collation.fill(0, len(examples))
    return collation.batch()


def _column_shape(sizes: NDArray[np.int64], type_: FieldType, varying: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a column's values: what the schema fixes is so also where every record of the batch lacks the field."""
    largest = sizes.max(axis=0).tolist()
    if type_.shape is None or len(type_.shape) != len(largest):
        return tuple(largest)
    fixed = [0 if axis in varying else size or 0 for axis, size in enumerate(type_.shape)]
    return tuple(map(max, largest, fixed))


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
