r"""Measure what the loader itself costs a record: the rate above which more cores do not help.

    python -m benchmarks.loader_ceiling DATASET [--threads 16] [--batch-size 512] [--decode 0.5] [--resize 0.25] [--seconds 4]

DATASET is a finished folder with JPEG pictures, for instance one of `benchmarks/photos.yaml`. Everything runs as it does in a
training run, but for two calls: decoding and resizing sleep instead, for so many milliseconds, without the interpreter's lock. So
the threads behave as on a machine that has a core for each, and what is left is what they share: the Python of each record, the
handing over of the lock, and the putting together of batches.

`threads` are batches whose pictures are resized by the threads, as for the CPU, `device` those whose cuts are left to a GPU; the
copy to it and what it does are not measured. `sleep alone` is the rate that sleeping would allow. `CPU` is the processor time a
record; with `switches`, the number of times that a thread had to wait for something, it tells where the time went. On a machine
that is busy with other things the rates say little.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from mmdata.dataset import Dataset
from mmdata.loader import ByCount, LoaderOptions, Order, PictureView, Schedule, ShardedRecords, picture_columns, pictures
from mmdata.loader.batch import Batch
from mmdata.loader.device import Sent, Transfer
from mmdata.loader.pictures import Pixels
from mmdata.loader.pipeline import Pipeline
from mmdata.loader.schedule import START
from mmdata.loader.stats import Meter

LONGEST_TEXT = 64  # tokens
WARM_UP = 3  # batches


class Kept(Transfer):
    """Leaves batches as they are when they are ready to be copied."""

    def send(self, batch: Batch) -> Sent:
        """Return the batch."""
        return Sent(batch)


@dataclass(frozen=True)
class Cost:
    """What a record took, in microseconds: of the clock and of the processors; and how often a thread waited."""

    wall: float
    cpu: float
    switches: float


@contextmanager
def sleeping(decode: float, resize: float) -> Iterator[None]:
    """Let pictures be slept over instead of decoded and resized, for these milliseconds each."""
    canvas: Pixels = np.zeros((4096, 4096, 3), np.uint8)

    def decoded(_payload: Any, _buffer: Any, height: int, width: int) -> Pixels:  # noqa: ANN401 - neither is looked at
        sleep(decode / 1000)
        return canvas[:height, :width]

    with (
        patch.object(pictures, "decode_jpeg", decoded),
        patch.object(picture_columns, "resize_into", lambda *_, **__: sleep(resize / 1000)),
    ):
        yield


def pipeline_of(dataset: Dataset, batch_size: int, where: str) -> Pipeline:
    """Return the pipeline of the dataset's pictures and tokens; pictures are resized in the "threads" or left to the "device"."""
    kinds = {type_.kind: name for name, type_ in dataset.schema.fields.items()}
    fields = tuple(kinds[kind] for kind in ("image", "tokens") if kind in kinds)
    view = PictureView((224, 224), crop="random", flip=0.5)
    options = LoaderOptions(fields=fields, views={kinds["image"]: view}, max_tokens=LONGEST_TEXT)
    records, meter = ShardedRecords(dataset, options=options, resize=where == "threads"), Meter()
    schedule = Schedule(Order(records.counts, 0), ByCount(min(batch_size, len(records))))
    return Pipeline(records, schedule, Kept(torch.device("cpu"), records.types, {}, meter), meter)


def measure(pipeline: Pipeline, threads: int, seconds: float) -> Cost:
    """Return what a record takes, of some seconds of batches."""
    batches = pipeline.run(START, threads, prefetch=4)
    for _ in range(WARM_UP):
        next(batches)
    begin, before, records = perf_counter(), resource.getrusage(resource.RUSAGE_SELF), 0
    while perf_counter() - begin < seconds:
        records += len(next(batches).sent.batch)
    elapsed, after = perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF)
    batches.close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(1e6 * elapsed / records, 1e6 * cpu / records, (after.ru_nvcsw - before.ru_nvcsw) / records)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--decode", type=float, default=0.5)
    parser.add_argument("--resize", type=float, default=0.25)
    parser.add_argument("--seconds", type=float, default=4.0)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure and print."""
    given = parse(arguments)
    torch.set_num_threads(1)
    dataset = Dataset(given.dataset)
    print(f"Python {platform.python_version()}, torch {torch.__version__}, batches of {given.batch_size}\n")
    print("| resized by | threads | records/s | sleep alone | µs a record | CPU µs a record | switches a record |")
    print("|---|---|---|---|---|---|---|")
    with sleeping(given.decode, given.resize):
        for where, slept in (("device", given.decode), ("threads", given.decode + given.resize)):
            for threads in sorted({1, given.threads}):
                cost = measure(pipeline_of(dataset, given.batch_size, where), threads, given.seconds)
                alone = 1000 * threads / slept if slept else float("inf")
                print(
                    f"| {where} | {threads} | {1e6 / cost.wall:,.0f} | {alone:,.0f} | {cost.wall:.1f} | {cost.cpu:.1f} "
                    f"| {cost.switches:.1f} |"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
