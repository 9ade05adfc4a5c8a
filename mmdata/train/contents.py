"""Which records of a batch hold the same content: the same sentence, recording or picture under other keys.

A corpus with one picture and captions in many languages has the same picture in many records. They must not count as wrong
answers for each other, neither in training nor when retrieval is measured.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mmdata.loader import Batch
from mmdata.rng import digest_of
from mmdata.train.config import Modality
from mmdata.train.layout import Layout

Contents = dict[Modality, Tensor]


def contents_of(batch: Batch, layout: Layout) -> Contents:
    """Return a fingerprint of each record's content, int64 [batch], by modality; it is 0 where the record lacks it.

    Padding does not change it. Different contents have different ones but for a chance of about 2 to the power of -64.
    """
    return {modality: _fingerprints(batch, name) for modality, name in layout.fields.items()}


def _fingerprints(batch: Batch, name: str) -> Tensor:
    column = batch.fields[name]
    if isinstance(column, list):
        numbers = [int.from_bytes(digest_of(text, size=8), "little", signed=True) if text else 0 for text in column]
        return torch.tensor(numbers, device=batch.padding.device)
    lengths = batch.lengths[name].reshape(len(column), -1)
    sums = weighted_sums(torch.cat([lengths, weighted_sums(_words(column))[:, None]], dim=1))
    return torch.where((lengths > 0).all(1), sums, 0)


def _words(values: Tensor) -> Tensor:
    """Return the bytes of pictures [rows, 3, height, width], or of anything else, as int64 [rows, …]: eight at a time."""
    if values.ndim == 4:
        values = values.permute(0, 2, 3, 1).flatten(2)
    missing = -values.shape[-1] % (8 // values.element_size())
    return (functional.pad(values, (0, missing)) if missing else values).contiguous().view(torch.int64)


def weighted_sums(values: Tensor) -> Tensor:
    """Return for whole numbers [rows, …] the sums over a row, int64 [rows], each weighted by its place, modulo 2 to the 64th.

    Whole numbers add up to the same in any order, so the sums are equal on every device.
    """
    sums = values
    while sums.ndim > 1:
        sums = (sums * _weights(sums.shape[-1], sums.ndim, sums.device)).sum(-1)
    return sums


def _weights(count: int, axis: int, device: torch.device) -> Tensor:
    """Return odd numbers that look random, int64 [count], other ones for each axis (G. Steele et al., SplitMix, 2014)."""
    mixed = (torch.arange(1, count + 1, device=device) + (axis << 32)) * -0x61C8864680B583EB
    mixed = (mixed ^ (mixed >> 30)) * -0x40A7B892E31B1A47
    mixed = (mixed ^ (mixed >> 27)) * -0x6B2FB644ECCEEE15
    return (mixed ^ (mixed >> 31)) | 1
