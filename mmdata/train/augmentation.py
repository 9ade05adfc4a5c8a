"""What is hidden from the model in training, so that it cannot learn records by heart. A pure function of seed and step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmdata.train.config import Augmentation
from mmdata.train.inputs import PADDING, Input, Inputs

_MASKS = 2  # of mel bins, and of time, in each recording


def augment(inputs: Inputs, settings: Augmentation, masked_id: int, rng: np.random.Generator) -> Inputs:
    """Return the inputs with units and frames hidden and pictures moved; lengths stay as they are."""
    changed = dict(inputs)
    if "text" in inputs:
        changed["text"] = _mask_units(inputs["text"], settings.units, masked_id, rng)
    if "audio" in inputs:
        changed["audio"] = _mask_frames(inputs["audio"], settings, rng)
    if "image" in inputs:
        changed["image"] = _shift(inputs["image"], settings.shift, rng)
    return changed


def _mask_units(given: Input, share: float, masked_id: int, rng: np.random.Generator) -> Input:
    chosen = _tensor(rng.random(given.values.shape, dtype=np.float32) < share, given.values)
    return replace(given, values=torch.where(chosen & (given.values != PADDING), masked_id, given.values))


def _mask_frames(given: Input, settings: Augmentation, rng: np.random.Generator) -> Input:
    """Set bands of mel bins and stretches of time to 0, about the mean of a recording (SpecAugment, D. S. Park et al., 2019)."""
    count, bins, frames = given.values.shape
    lengths = given.lengths.cpu().numpy()
    hidden_bins = _ranges(np.full(count, bins), np.full(count, min(settings.bins, bins)), bins, rng)
    hidden_frames = _ranges(lengths, np.floor(lengths * settings.time).astype(np.int64), frames, rng)
    hidden = _tensor(hidden_bins, given.values)[:, :, None] | _tensor(hidden_frames, given.values)[:, None, :]
    return replace(given, values=given.values.masked_fill(hidden, 0.0))


def _ranges(lengths: NDArray[np.int64], longest: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return bool [rows, size]: in each row, `_MASKS` ranges inside its length, each of 0 to `longest` places."""
    shape = (_MASKS, len(lengths), 1)
    widths = rng.integers(0, longest[:, None] + 1, shape)
    starts = rng.integers(0, lengths[:, None] - widths + 1, shape)
    places = np.arange(size)
    covered: NDArray[np.bool_] = np.logical_or.reduce((places >= starts) & (places < starts + widths), axis=0)
    return covered


def _shift(given: Input, share: float, rng: np.random.Generator) -> Input:
    """Move every picture by up to a share of its size in each direction; what leaves at one side comes in at the other."""
    size = given.values.shape[2]
    furthest = int(size * share)
    moves = rng.integers(-furthest, furthest + 1, (2, len(given.values), 1))
    rows, columns = (_tensor((np.arange(size) - move) % size, given.values) for move in moves)
    records = torch.arange(len(given.values), device=given.values.device)
    moved = given.values[records[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return replace(given, values=moved.permute(0, 3, 1, 2))


def _tensor(array: NDArray[np.bool_] | NDArray[np.int64], like: Tensor) -> Tensor:
    return torch.from_numpy(array).to(like.device)
