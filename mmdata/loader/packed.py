"""The packed form of a token field: rows that several records share, with the borders that attention and positions need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from mmdata.loader.schedule import PackedRows


@dataclass(frozen=True, eq=False)
class Packed:
    """Where the token sequences of a batch stand in the rows of `batch.fields[field]`, [rows, length].

    documents: int64 [rows, length]; the record of each token, as a row of the other fields; -1 where the row is padding.
    position_ids: int64 [rows, length]; counts from 0 in each sequence, and 0 where the row is padding.
    cu_seqlens: int32 [segments + 1]; where sequences begin and end when the rows are laid one after the other, as variable-length
        attention takes it. The padding at the end of a row is a segment of its own.
    """

    field: str
    documents: torch.Tensor
    position_ids: torch.Tensor
    cu_seqlens: torch.Tensor

    def mapped(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Packed:
        """Return the same with a function applied to every tensor."""
        return Packed(self.field, function(self.documents), function(self.position_ids), function(self.cu_seqlens))

    def tensors(self) -> list[torch.Tensor]:
        """Return every tensor."""
        return [self.documents, self.position_ids, self.cu_seqlens]


def pack(tokens: torch.Tensor, lengths: torch.Tensor, layout: PackedRows) -> tuple[torch.Tensor, torch.Tensor, Packed]:
    """Return tokens [rows, length], how many each record has there, int64 [records], and their places.

    `tokens` [records, longest] are padded at the end, and `lengths` says how long each is. A sequence that is longer than was
    planned, because it stands in for another record, is cut to what was planned. Rows are filled from the left.
    """
    shape = (layout.count, layout.length)
    kept = np.minimum(lengths.numpy(), layout.lengths)
    ends = np.cumsum(kept)
    before_row = np.concatenate([[0], ends])[np.searchsorted(layout.rows, np.arange(layout.count))]
    starts = layout.rows * layout.length + (ends - kept) - before_row[layout.rows]
    position = np.arange(int(kept.sum())) - np.repeat(ends - kept, kept)
    place = np.repeat(starts, kept) + position
    document = np.repeat(np.arange(len(kept)), kept)
    packed = tokens.new_zeros(layout.count * layout.length)
    packed[torch.from_numpy(place)] = tokens[torch.from_numpy(document), torch.from_numpy(position)]
    documents, position_ids = np.full(len(packed), -1), np.zeros(len(packed), dtype=np.int64)
    documents[place], position_ids[place] = document, position
    borders = np.unique(np.concatenate([starts, starts + kept, np.arange(layout.count + 1) * layout.length]))
    found = Packed(
        layout.field,
        torch.from_numpy(documents.reshape(shape)),
        torch.from_numpy(position_ids.reshape(shape)),
        torch.from_numpy(borders.astype(np.int32)),
    )
    return packed.reshape(shape), torch.from_numpy(kept), found
