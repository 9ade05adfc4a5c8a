"""Batches on a GPU: the same as on the processor to a stated tolerance, never torn, and the same after a restore."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdata.dsp.mel import RATE
from mmdata.errors import RecordError
from mmdata.loader import Batch, Loader, LoaderOptions, LogMelView, PictureView, ShardedRecords
from mmdata.loader.collating import Collation
from mmdata.loader.scratch import BatchMemory
from mmdata.loader.testing import assert_equal_after_restore, assert_equal_batches, stream
from mmdata.record import Record
from mmdata.train.config import TrainConfig
from mmdata.train.evaluate import loader_options
from mmdata.train.layout import Layout
from mmdata.train.learner import Learner
from mmdata.values import Audio, Image
from tests.loader.conftest import SCHEMA, MakeDataset

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

DEVICE = "cuda"
CROPS = PictureView((24, 20), crop="random", flip=0.5)
LEVELS = 1
"""How far levels from 0 to 255 may lie apart; floats accordingly."""
FRAMES = 2e-3
"""How far values of a log-mel spectrogram, about -1 to 2, may lie apart."""


@pytest.fixture(scope="module")
def sounds(make_dataset: MakeDataset) -> Path:
    """A dataset whose recordings are at 16 kHz."""

    def at_16k(record: Record) -> Record:
        audio = record.fields["audio"]
        assert isinstance(audio, Audio)
        return record.with_fields(audio=Audio(audio.samples, RATE))

    schema = SCHEMA.with_field("audio", replace(SCHEMA.fields["audio"], rate=RATE))
    return make_dataset((9, 14, 11), change=at_16k, schema=schema)


def options(**views: PictureView | LogMelView) -> LoaderOptions:
    """Return options with these views and batches prepared well ahead."""
    return LoaderOptions(window=2, threads=4, prefetch=4, views=views)


def pairs(out: Path, given: LoaderOptions, steps: int) -> Iterator[tuple[Batch, Batch]]:
    """Yield the same steps from the processor and from the GPU."""
    with (
        Loader(out, batch_size=6, options=replace(given, decode="threads")) as host,
        Loader(out, batch_size=6, device=DEVICE, options=given) as device,
    ):
        yield from islice(zip(stream(host), stream(device), strict=True), steps)


def tensor(batch: Batch, name: str) -> torch.Tensor:
    """Return a column as float32 on the processor."""
    column = batch.fields[name]
    assert isinstance(column, torch.Tensor)
    return column.float().cpu()


def test_without_views_batches_are_equal(shared: Path) -> None:
    """What went through page-locked memory and a side stream is, bit for bit, what the processor has."""
    for host, device in pairs(shared, options(), 12):
        assert {part.device.type for part in device.tensors()} == {torch.device(DEVICE).type}
        assert_equal_batches(host, device.to("cpu"))


def test_pictures_differ_by_one_level_at_most(shared: Path) -> None:
    """Cutting, resizing and mirroring on the GPU give the levels of the processor, to one of 255."""
    for host, device in pairs(shared, options(image=CROPS), 12):
        difference = (tensor(host, "image") - tensor(device, "image")).abs()
        assert difference.max() <= LEVELS
        assert difference.mean() < 0.3
        assert host.lengths["image"].tolist() == device.lengths["image"].tolist()
        assert device.fields["image"].is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr]


def test_pictures_resized_in_the_threads_are_equal(shared: Path) -> None:
    """With `resize="threads"` the GPU has, bit for bit, the levels of the processor, in page-locked memory until the copy."""
    for host, device in pairs(shared, replace(options(image=CROPS), resize="threads"), 12):
        assert_equal_batches(host, device.to("cpu"))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_normalized_pictures_differ_by_one_level_at_most(shared: Path, dtype: str) -> None:
    """Normalized, the difference is that of one level, and of the dtype's own rounding."""
    view = replace(CROPS, dtype=dtype, mean=(0.4, 0.5, 0.6), deviation=(0.25, 0.25, 0.25))  # type: ignore[arg-type]
    step = LEVELS / 255 / 0.25 + 4 * torch.finfo(getattr(torch, dtype)).eps
    for host, device in pairs(shared, options(image=view), 6):
        assert (tensor(host, "image") - tensor(device, "image")).abs().max() <= step


@pytest.fixture(scope="module")
def slopes(make_dataset: MakeDataset) -> Path:
    """A dataset of smooth pictures, as photos are: what JPEG decoders differ in is how they treat sharp edges of colour."""

    def smooth(record: Record) -> Record:
        rows, columns = np.mgrid[0:96, 0 : 64 + 8 * (int(record.key[1:]) % 5)].astype(np.float32)
        pixels = np.stack([rows * 2, columns * 2, 255 - rows - columns], axis=2).clip(0, 255).astype(np.uint8)
        return record.with_fields(image=Image(pixels))

    return make_dataset((9, 14, 11), change=smooth)


def test_pictures_decoded_on_the_gpu_are_those_of_the_processor(slopes: Path) -> None:
    """NvJPEG's pictures have the same windows and, within the freedom that JPEG leaves, the same levels; twice the same."""
    pytest.importorskip("torchvision")
    given = replace(options(image=CROPS), decode="device")
    for host, device in pairs(slopes, given, 10):
        difference = (tensor(host, "image") - tensor(device, "image")).abs()
        assert difference.mean() < 2
        assert difference.max() <= 16
        assert host.lengths["image"].tolist() == device.lengths["image"].tolist()
    with (
        Loader(slopes, batch_size=6, device=DEVICE, options=given) as one,
        Loader(slopes, batch_size=6, device=DEVICE, options=replace(given, threads=1)) as other,
    ):
        for first, second in islice(zip(stream(one), stream(other), strict=True), 40):
            assert_equal_batches(first.to("cpu"), second.to("cpu"))


def test_spectrograms_are_those_of_the_processor(sounds: Path) -> None:
    """Log-mel frames agree to the stated tolerance, and have the same number."""
    for host, device in pairs(sounds, options(audio=LogMelView()), 10):
        assert (tensor(host, "audio") - tensor(device, "audio")).abs().max() <= FRAMES
        assert host.lengths["audio"].tolist() == device.lengths["audio"].tolist()


def test_batches_are_made_in_page_locked_memory(shared: Path) -> None:
    """Columns are page-locked when they are made; what is not yet becomes so before the copy."""
    records, memory = ShardedRecords(shared, options=options(image=CROPS), resize=False), BatchMemory(pin=True)
    entries = records.look_up(np.zeros(3, np.int64), np.arange(3))
    columns = records.columns(entries, memory=memory)
    found = [payloads for payloads in records.fetch(entries, 0, 3) if not isinstance(payloads, RecordError)]
    examples = [records.decode(entries, payloads, columns, row) for row, payloads in enumerate(found)]
    collation = Collation(examples, records.types, columns, memory)
    collation.fill(0, 3)
    batch = collation.batch()
    filled = [column for column in batch.fields.values() if isinstance(column, torch.Tensor)] + [batch.cuts["image"].pixels]
    assert all(column.is_pinned() for column in filled)
    assert all(part.is_pinned() for part in batch.pin_memory().tensors())
    assert {part.data_ptr() for part in filled} <= {part.data_ptr() for part in batch.pin_memory().tensors()}


@pytest.mark.parametrize("own_stream", [False, True])
def test_no_batch_is_torn(make_dataset: MakeDataset, *, own_stream: bool) -> None:
    """A GPU that lags far behind still sees every batch whole: neither copy nor memory is reused too early."""
    out = make_dataset((60, 60, 60))
    few = replace(options(image=CROPS), fields=("image", "mel"))
    with Loader(out, batch_size=20, options=few) as host:
        expected = [{name: tensor(batch, name).double().mean() for name in batch.fields} for batch in islice(stream(host), 60)]
    used = torch.cuda.Stream() if own_stream else torch.cuda.current_stream()  # type: ignore[no-untyped-call]
    found = []
    with Loader(out, batch_size=20, device=DEVICE, options=few) as loader, torch.cuda.stream(used):
        for batch in islice(stream(loader), 60):
            torch.cuda._sleep(3_000_000)  # about two milliseconds in which nothing of the batch is read
            found.append({name: column.double().mean() for name, column in batch.fields.items()})  # type: ignore[union-attr]
            del batch
    torch.cuda.synchronize()
    for one, other in zip(expected, found, strict=True):
        assert abs(one["image"] - other["image"].cpu()) < 0.3
        assert one["mel"].item() == pytest.approx(other["mel"].item(), abs=1e-9)


def test_a_loader_on_a_gpu_goes_on_from_every_step(sounds: Path) -> None:
    """Restored at any step, the GPU sees the same batches, bit for bit."""
    views = options(image=CROPS, audio=LogMelView())
    assert_equal_after_restore(
        lambda: Loader(sounds, batch_size=8, device=DEVICE, options=views),
        6,
        lambda: Loader(sounds, batch_size=8, device=DEVICE, options=replace(views, threads=1, prefetch=0)),
    )


def test_copies_are_measured_by_the_clock_of_the_gpu(shared: Path) -> None:
    """The stage `copy` has the batches that have crossed, their bytes and their time."""
    with Loader(shared, batch_size=6, device=DEVICE, options=options(image=CROPS)) as loader:
        for _ in islice(stream(loader), 10):
            torch.cuda.synchronize()
        copied = loader.stats().stages["copy"]
    assert 54 <= copied.records <= 60
    assert copied.bytes > 0
    assert copied.seconds > 0


def test_the_model_learns_from_a_loader_on_a_gpu(sounds: Path) -> None:
    """Steps of the reference model have finite losses that fall."""
    config = TrainConfig(name="gpu", width=32, embedding=32, batch_size=8, learning_rate=3e-3)
    layout = Layout({"audio": "audio", "image": "image"})
    learner = Learner(config, layout, 60, torch.device(DEVICE))
    with Loader(sounds, batch_size=8, device=DEVICE, options=loader_options(layout, config, shuffle=True)) as loader:
        losses = []
        for step, batch in enumerate(islice(stream(loader), 60)):
            losses.append(learner.gradient(batch, step).mean)
            learner.update(step)
    assert sum(losses[-10:]) < sum(losses[:10])
