"""The contenders of `benchmarks.loader`: mmdata, the bare limit, and other loaders in the way that their documents show.

All give the same thing: batches of pictures uint8 [batch, height, width, 3], cut at random, resized and mirrored by chance, from
the same JPEG payloads. Windows of the peers are drawn from the same distribution (`PictureView.windows`).
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmdata.dataset import Dataset
from mmdata.loader import Loader, LoaderOptions, Order, PictureView, ShardedRecords
from mmdata.loader.picture_columns import frames_of
from mmdata.loader.pictures import resize_into
from mmdata.loader.views import DRAWS

Pixels = NDArray[np.uint8]
Counts = Generator[int, None, int] | Iterator[int]
Epoch = Callable[[], Counts]
"""Starts an epoch and yields the number of records of each batch; may return how many it has prepared of the next epoch."""

BUFFER = 1000  # records among which the peers shuffle
RAW_EPOCHS = 3
PART = 8  # records that a thread of the limit takes at a time; batch sizes are multiples of it


@dataclass(frozen=True)
class Task:
    """What every contender does: one epoch of a dataset's train split, on so many threads or worker processes."""

    dataset: Dataset
    batch_size: int
    workers: int
    folder: Path
    view: PictureView = field(default_factory=lambda: PictureView((224, 224), crop="random", flip=0.5))

    @property
    def tars(self) -> list[str]:
        """The shards."""
        return [str(self.dataset.path / shard.file) for shard in self.dataset.shards_of("train")]

    @property
    def records(self) -> ShardedRecords:
        """The pictures alone, by number."""
        return ShardedRecords(self.dataset, options=LoaderOptions(fields=("image",)))


def cut_by_pillow(picture: Any, view: PictureView) -> Pixels:  # noqa: ANN401 - Pillow is imported only where it is used
    """Return a random window of a picture, resized by Pillow's bilinear filter, mirrored by chance."""
    from PIL import Image

    cut = picture.convert("RGB").resize(view.size[::-1], Image.Resampling.BILINEAR, box=_drawn_box(*picture.size, view))
    return np.asarray(cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < view.flip else cut)


def _drawn_box(width: int, height: int, view: PictureView) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a random window, drawn one by one from the worker's state, as the peers' users do."""
    pixels = random.uniform(*view.area) * width * height
    ratio = math.exp(random.uniform(*map(math.log, view.ratio)))
    columns, rows = (max(1, round(side)) for side in (math.sqrt(pixels * ratio), math.sqrt(pixels / ratio)))
    columns, rows = min(width, columns), min(height, rows)
    left, top = random.randint(0, width - columns), random.randint(0, height - rows)
    return left, top, left + columns, top + rows


def stacked(pictures: list[Pixels]) -> torch.Tensor:
    """Return one batch."""
    return torch.from_numpy(np.stack(pictures))


def mmdata(task: Task) -> Epoch:
    """Return the loader of this project."""
    options = LoaderOptions(fields=("image",), views={"image": task.view}, threads=task.workers)

    def epoch() -> Generator[int, None, int]:
        with Loader(task.dataset, batch_size=task.batch_size, rank=0, world_size=1, options=options) as loader:
            yield from map(len, loader)
        return loader.stats().stages["decode"].records - len(loader) * task.batch_size

    return epoch


class Limit:
    """The library calls and nothing else: payloads and batches lie in memory, windows are drawn, threads share only the work."""

    def __init__(self, task: Task, *, resize: bool) -> None:
        from simplejpeg import decode_jpeg_header

        records = task.records
        self._task = task
        self._payloads = [bytes(raw.payloads["jpg"]) for raw in records.payloads(range(len(records)))]
        self._resize = resize
        self._rows = 3 * task.batch_size  # as many batches as a loader has under way
        self._batches = np.empty((self._rows, *task.view.size, 3), np.uint8)
        self._rng = np.random.default_rng(0)
        self._sizes = np.array([decode_jpeg_header(payload)[:2] for payload in self._payloads])

    def __call__(self) -> Iterator[int]:
        """Yield the sizes of batches."""
        size, count = self._task.batch_size, len(self._payloads)
        frames = frames_of(self._task.view, self._sizes, self._rng.random((count, DRAWS)), reducible=True)
        work = list(zip(self._payloads, frames.sizes.tolist(), frames.windows.tolist(), strict=True))
        whole = count // size * size
        with ThreadPoolExecutor(self._task.workers) as pool:
            parts = [(start % self._rows, work[start : start + PART]) for start in range(0, whole, PART)]
            done = pool.map(self._decode, parts)
            for _ in range(0, whole, size):
                yield sum(islice(done, size // PART))

    def _decode(self, numbered: tuple[int, list[tuple[bytes, list[int], list[int]]]]) -> int:
        from simplejpeg import decode_jpeg

        first, part = numbered
        out = self._batches[first : first + len(part)]
        for row, (payload, (height, width), (top, left, rows, columns, flipped)) in zip(out, part, strict=True):
            pixels = decode_jpeg(payload, "RGB", fastdct=False, fastupsample=False, min_height=height, min_width=width)
            if self._resize:
                resize_into(row, pixels[top : top + rows, left : left + columns], flipped=bool(flipped))
        return len(part)


def webdataset(task: Task) -> Epoch:
    """Return webdataset with Pillow, a shuffle buffer and worker processes."""
    import webdataset as wds

    shards = min(task.workers, len(task.tars))
    pipeline = (
        wds.WebDataset(task.tars, shardshuffle=len(task.tars), detshuffle=True, empty_check=False)
        .shuffle(BUFFER)
        .decode("pil")
        .to_tuple("jpg")
        .map_tuple(partial(cut_by_pillow, view=task.view))
        .batched(task.batch_size, collation_fn=_stack_tuples)
    )
    return lambda: map(len, wds.WebLoader(pipeline, batch_size=None, num_workers=shards))


def _stack_tuples(rows: list[tuple[Pixels]]) -> torch.Tensor:
    return stacked([row[0] for row in rows])


def hugging_face(task: Task) -> Epoch:
    """Return Hugging Face datasets, streaming the shards, with worker processes."""
    from datasets import load_dataset

    rows = load_dataset(
        "webdataset", data_files={"train": task.tars}, split="train", streaming=True, cache_dir=str(task.folder / "hugging_face")
    )
    shown = rows.select_columns(["jpg"]).shuffle(seed=0, buffer_size=BUFFER).map(partial(_cut_row, view=task.view))
    loader = torch.utils.data.DataLoader(
        shown, batch_size=task.batch_size, num_workers=min(task.workers, len(task.tars)), collate_fn=_stack_rows
    )
    return lambda: map(len, loader)


def _cut_row(row: dict[str, Any], view: PictureView) -> dict[str, Any]:
    return {"jpg": cut_by_pillow(row["jpg"], view)}


def _stack_rows(rows: list[dict[str, Any]]) -> torch.Tensor:
    return stacked([row["jpg"] for row in rows])


def litdata(task: Task) -> Epoch:
    """Return LitData over chunks of the same payloads, with Pillow and worker processes."""
    from litdata import StreamingDataLoader

    chunks = task.folder / "litdata"
    _write_chunks(task, chunks)

    def epoch() -> Iterator[int]:
        # Its samplers go on where they were; a new one begins an epoch anew.
        rows = _streaming_pictures(chunks, task.view)
        yield from map(len, StreamingDataLoader(rows, batch_size=task.batch_size, num_workers=task.workers, collate_fn=stacked))

    return epoch


def _write_chunks(task: Task, chunks: Path) -> None:
    from litdata.streaming.writer import BinaryWriter

    shutil.rmtree(chunks, ignore_errors=True)
    chunks.mkdir(parents=True)
    records, writer = task.records, BinaryWriter(str(chunks), chunk_bytes="16MB")
    for index in range(len(records)):
        writer.add_item(index, {"jpg": bytes(records.payloads([index])[0].payloads["jpg"])})
    writer.done()
    writer.merge()


def _streaming_pictures(chunks: Path, view: PictureView) -> Any:  # noqa: ANN401 - a class of a package that may be missing
    from io import BytesIO

    from litdata import StreamingDataset
    from PIL import Image

    class Pictures(StreamingDataset):  # type: ignore[misc]
        """Decodes and cuts in the worker, as LitData's own image example does."""

        def __getitem__(self, index: Any) -> Pixels:  # noqa: ANN401 - LitData's own index
            return cut_by_pillow(Image.open(BytesIO(super().__getitem__(index)["jpg"])), view)

    return Pictures(str(chunks), shuffle=True)


def contenders(task: Task) -> dict[str, Epoch]:
    """Return what is installed, by name."""
    found: dict[str, Epoch] = {"mmdata": mmdata(task)}
    found["decode, cut, resize (limit)"] = Limit(task, resize=True)
    found["decode (limit)"] = Limit(task, resize=False)
    makers = {"webdataset": webdataset, "datasets": hugging_face, "litdata": litdata}
    return found | {name: make(task) for name, make in makers.items() if find_spec(name) is not None}


def raw_contenders(task: Task) -> dict[str, Epoch]:
    """Return mmdata and webdataset giving undecoded records, both in this process and on one thread, several times over.

    mmdata gives them in its shuffled order, checked; webdataset as they stand.
    """
    import webdataset as wds

    records = ShardedRecords(task.dataset)
    order = Order(records.counts, 0)

    def by_number() -> Iterator[int]:
        for epoch in range(RAW_EPOCHS):
            numbers = order.indices(epoch, np.arange(len(records))).tolist()
            for start in range(0, len(numbers), task.batch_size):
                yield len(records.payloads(numbers[start : start + task.batch_size]))

    def one_by_one() -> Iterator[int]:
        rows = wds.WebDataset(task.tars, shardshuffle=False, empty_check=False).repeat(RAW_EPOCHS)
        return map(len, rows.batched(task.batch_size, collation_fn=list))

    return {"mmdata": by_number, "webdataset": one_by_one}
