"""Columns of pictures: what is decoded elsewhere is taken in, what is not as the index says is turned away, on both ways."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch

from mmdata.dataset import Dataset
from mmdata.errors import ConfigError, RecordError
from mmdata.formats import Format, Png
from mmdata.loader import Loader, LoaderOptions, PictureView, ShardedRecords
from mmdata.loader.cuts import Cuts
from mmdata.loader.picture_columns import Cut, DeviceColumn, PictureField
from mmdata.loader.scratch import BatchMemory
from mmdata.loader.testing import assert_equal_batches
from mmdata.record import Record
from mmdata.rng import rng_for
from mmdata.values import Image
from tests.loader.conftest import MakeDataset
from tests.loader.uncut import HostJpegs, levels, uncut

RANDOM = PictureView((10, 14), crop="random", flip=0.5)


def jpeg(height: int, width: int, seed: int = 0) -> memoryview:
    """Return a JPEG of noise."""
    pixels = rng_for(seed, "pixels").integers(0, 256, (height, width, 3)).astype(np.uint8)
    return memoryview(simplejpeg.encode_jpeg(pixels, quality=90))


@pytest.mark.parametrize("damage", [False, True], ids=["whole", "damaged"])
def test_whole_batches_are_cut_as_single_pictures_are(
    make_dataset: MakeDataset, image_format: Format[Image] | None, *, damage: bool
) -> None:
    """The way of a GPU and that of the processor give the same pictures, to one level; also where others stand in for some."""

    def changed(record: Record) -> Record:
        return record.without("image") if record.key == "r0011" else record

    out = make_dataset(image=image_format, change=changed)
    if damage:
        for shard in Dataset(out).shards_of("train")[1:3]:
            content = bytearray((out / shard.file).read_bytes())
            for place in range(700, len(content), 4000):
                content[place] ^= 1
            (out / shard.file).write_bytes(content)
    options = LoaderOptions(window=2, threads=3, views={"image": RANDOM})
    substituted, jpegs = 0, HostJpegs()
    for found, expected in islice(zip(uncut(out, 6, options, jpegs), uncut(out, 6, options), strict=True), 6):
        assert_equal_batches(found, expected)
    assert bool(jpegs.decoded) == (image_format is None)
    with Loader(out, batch_size=6, options=options) as loader:
        for found, expected in zip(uncut(out, 6, options), islice(loader, 6), strict=False):
            assert found.keys == expected.keys
            assert torch.equal(found.substituted, expected.substituted)
            assert torch.equal(found.lengths["image"], expected.lengths["image"])
            assert (levels(found) - levels(expected)).abs().max() <= 1
            assert list(found.fields) == list(expected.fields)
            assert not found.cuts
            substituted += int(found.substituted.sum())
    assert (substituted > 0) == damage


def test_one_picture_that_cannot_be_decoded_costs_the_device_no_other() -> None:
    """Where the device gives up a part of the batch, its pictures are decoded one by one; only the bad ones are errors."""
    jpegs = HostJpegs()
    field = PictureField("image", PictureView((20, 20)), "jpg", resize=False, jpegs=jpegs)
    column = field.column(list("abcd"), np.array([[30, 40], [30, 40], [0, 0], [30, 40]]), 0, 0, BatchMemory())
    assert isinstance(column, DeviceColumn)
    payloads = [jpeg(30, 40), memoryview(b"\xff\xd8\xff and no more"), memoryview(b""), jpeg(40, 30)]
    column.decode_together(0, payloads)
    good = column.decode(0, payloads[0])
    assert jpegs.uploads == 1
    assert np.array_equal(good.pixels.numpy(), simplejpeg.decode_jpeg(payloads[0], "RGB", fastdct=False, fastupsample=False))
    for row, said in ((1, "cannot be decoded"), (3, "another size")):
        with pytest.raises(RecordError, match=said):
            column.decode(row, payloads[row])
    column.decode_together(0, [payloads[0], payloads[2], payloads[2], payloads[3]])
    with pytest.raises(RecordError, match="another size"):
        column.decode(3, payloads[3])
    assert column.joined([column.decode(2, payloads[2]), good]).sizes.tolist() == [[0, 0], [30, 30]]


def test_decoding_on_a_device_needs_one(shared: Path) -> None:
    """Without a GPU, and together with resizing in threads, it is a ConfigError that says what to set."""
    with pytest.raises(ConfigError, match="decode='device' is for a GPU, but the loader's device is cpu"):
        Loader(shared, batch_size=4, options=LoaderOptions(decode="device"))
    with pytest.raises(ConfigError, match="set resize='device' too"):
        LoaderOptions(decode="device", resize="threads")
    with pytest.raises(ConfigError, match="decode is 'device' or 'threads', not 'gpu'"):
        LoaderOptions(decode="gpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("resize", [True, False], ids=["threads", "device"])
def test_pictures_of_another_size_than_the_index_says_are_refused(*, resize: bool) -> None:
    """Smaller, larger or no picture: nothing is written beyond its place, and the reason can be counted."""
    payloads = {(30, 40): "too small", (400, 300): "too small", (29, 30): "another size: .29, 30., but by the index .30, 30."}
    for size, said in payloads.items():
        column = PictureField("image", PictureView((20, 20)), "jpg", resize=resize).column(
            ["a", "b"], np.array([[30, 30], [30, 30]]), 0, 0, BatchMemory()
        )
        good = jpeg(30, 30)
        kept = column.decode(1, good)
        with pytest.raises(RecordError, match=said):
            column.decode(0, jpeg(*size))
        with pytest.raises(RecordError, match="cannot be decoded"):
            column.decode(0, memoryview(b"\xff\xd8\xff and no more"))
        if isinstance(kept, Cut):
            assert np.array_equal(kept.pixels.numpy(), simplejpeg.decode_jpeg(good, "RGB", fastdct=False, fastupsample=False))


def test_cuts_of_several_columns_are_joined() -> None:
    """Each cut keeps its picture and its window, whatever column it was decoded in, and whether it is there or not."""
    field = PictureField("image", replace(RANDOM, flip=1.0), "jpg", resize=False)
    sizes = np.array([[30, 40], [0, 0], [200, 90]])
    home = field.column(["a", "b", "c"], sizes, 0, 0, BatchMemory())
    cuts = [home.decode(row, jpeg(*size, seed=row) if all(size) else memoryview(b"")) for row, size in enumerate(sizes.tolist())]
    other = field.column(["d"], np.array([[50, 60]]), 0, 0, BatchMemory())
    substitute = other.decode(0, jpeg(50, 60, seed=9))
    assert all(isinstance(cut, Cut) for cut in (*cuts, substitute))
    assert isinstance(substitute, Cut)
    together = substitute.column.joined([cuts[2], substitute, cuts[1], cuts[0]])  # type: ignore[list-item]
    padded = together.padded()
    for row, cut in enumerate((cuts[2], substitute, cuts[1], cuts[0])):
        assert isinstance(cut, Cut)
        _, _, _, top, left, height, width, flipped = cut.column.table[cut.row].tolist()
        assert torch.equal(padded[row, :height, :width], cut.pixels[top : top + height, left : left + width])
        assert together.sizes[row].tolist() == [height, width]
        assert bool(together.flipped[row]) == bool(flipped)
    assert not substitute.column.joined([cuts[1]]).padded().numel()  # type: ignore[list-item]


def test_a_very_wide_picture_beside_a_tall_one_is_cut_at_its_place() -> None:
    """Where a tall window reaches, counted in rows of the widest picture, is more than 32 bits hold."""
    wide, tall = 2_000_000, 2_000
    pixels = torch.arange(3 * (wide + 2 * tall), dtype=torch.uint8)
    table = np.array([[0, 1, wide, 0, 7, 1, 1, 0], [wide, tall, 2, 0, 0, tall, 2, 0]])
    padded = Cuts.of(pixels, table).padded()
    assert torch.equal(padded[0, 0, 0], pixels[21:24])
    assert torch.equal(padded[1], pixels[3 * wide :].view(tall, 2, 3))


def test_pictures_that_no_memory_holds_are_said() -> None:
    """Sizes come from the index, before anything is read: where there is no memory for a batch, the error says what to do."""
    field = PictureField("image", PictureView((9000, 9000)), "jpg", resize=False)
    with pytest.raises(ConfigError, match="field 'image': there is no memory for the decoded pictures of a batch"):
        field.column(["a"] * 4000, np.full((4000, 2), 9000), 0, 0, BatchMemory())


def test_of_a_png_the_window_alone_is_kept() -> None:
    """What is decoded elsewhere first is cut before it is copied, so that a batch holds no more than is shown."""
    pixels = rng_for(0, "pixels").integers(0, 256, (50, 90, 3)).astype(np.uint8)
    field = PictureField("image", PictureView((10, 10)), "png", resize=False)
    column = field.column(["a"], np.array([[50, 90]]), 0, 0, BatchMemory())
    cut = column.decode(0, memoryview(Png().encode(Image(pixels))))
    assert isinstance(cut, Cut)
    assert np.array_equal(cut.pixels.numpy(), pixels[:, 20:70])
    assert np.array_equal(cut.column.joined([cut]).padded()[0].numpy(), pixels[:, 20:70])


def test_records_come_together_as_they_come_alone(shared: Path) -> None:
    """What a plain `DataLoader` asks for at once is what each number gives."""
    records = ShardedRecords(shared, options=LoaderOptions(views={"image": PictureView((9, 9))}))
    numbers = [30, 2, 2, 17]
    for example, number in zip(records.__getitems__(numbers), numbers, strict=True):
        alone = records[number]
        assert (example.key, example.metadata) == (alone.key, alone.metadata)
        assert {name: np.array_equal(value, alone.fields[name]) for name, value in example.fields.items()} == dict.fromkeys(
            example.fields, True
        )
    with pytest.raises(IndexError, match="record 37 of a split with 37"):
        records.__getitems__([0, 37])
