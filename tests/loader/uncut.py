"""The way of a GPU through the loader, on the processor: pictures cut and resized, or also decoded, in whole batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch

from mmdata.errors import RecordError
from mmdata.loader import Batch, ByCount, LoaderOptions, Order, Schedule, ShardedRecords
from mmdata.loader.device import Transfer
from mmdata.loader.pipeline import Pipeline
from mmdata.loader.schedule import START
from mmdata.loader.stats import Meter


class HostJpegs:
    """Decodes as a GPU does, many files at a time and colour by colour, on the processor."""

    def __init__(self) -> None:
        self.decoded = self.uploads = 0

    def __call__(self, files: Sequence[memoryview]) -> list[torch.Tensor]:
        """Return the pictures."""
        try:
            found = [simplejpeg.decode_jpeg(file, "RGB", fastdct=False, fastupsample=False) for file in files]
        except ValueError as error:
            raise RecordError("picture cannot be decoded", str(error)) from error
        self.decoded += len(found)
        return [torch.from_numpy(pixels).permute(2, 0, 1).contiguous() for pixels in found]

    def uploaded(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
        """Return a picture that was decoded alone."""
        self.uploads += 1
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()

    def hand_over(self, pictures: Iterable[torch.Tensor]) -> None:
        """Nothing else runs here."""


def uncut(out: Path, batch_size: int, options: LoaderOptions, jpegs: HostJpegs | None = None) -> Iterator[Batch]:
    """Yield the batches of a loader whose pictures are cut and resized in whole batches, as a GPU does it."""
    records, meter = ShardedRecords(out, options=options, resize=False, jpegs=jpegs), Meter()
    schedule = Schedule(Order(records.counts, 0, window=options.window), ByCount(batch_size))
    transfer = Transfer(torch.device("cpu"), records.types, options.views, meter)
    return (prepared.sent.batch for prepared in Pipeline(records, schedule, transfer, meter).run(START, 3, 2))


def levels(batch: Batch) -> torch.Tensor:
    """Return the pictures of a batch."""
    found = batch.fields["image"]
    assert isinstance(found, torch.Tensor)
    return found.int()
