"""Decoded records become a batch: stacked, padded with zeros, with their lengths, and widened."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmdata.errors import ConfigError
from mmdata.loader import Loader, LoaderOptions, pipeline
from mmdata.loader.batch import Batch, widened
from mmdata.loader.collating import collate
from mmdata.loader.example import Example
from mmdata.loader.records import ShardedRecords
from mmdata.loader.testing import assert_equal_across_ranks, assert_equal_batches, stream
from mmdata.schema import FieldType
from tests.loader.conftest import SCHEMA, MakeDataset


def batch_of(type_: FieldType, *values: Any) -> Batch:
    """Return the batch of these values of one field."""
    types = {"x": type_}
    return widened(collate([Example(str(row), {"x": value}, {}) for row, value in enumerate(values)], types), types)


def column(batch: Batch) -> torch.Tensor:
    """Return the one field as a tensor."""
    found = batch.fields["x"]
    assert isinstance(found, torch.Tensor)
    return found


def test_every_kind_has_its_form(shared: Path) -> None:
    """Shapes and types are those that `Batch` promises, and the lengths say what is padding."""
    records = ShardedRecords(shared)
    examples = [records[index] for index in range(4)]
    batch = records.collate(examples)
    stacked = {name: field for name, field in batch.fields.items() if isinstance(field, torch.Tensor)}
    for row, example in enumerate(examples):
        pixels, samples, ids, mel = (torch.tensor(example.fields[name]) for name in ("image", "audio", "tokens", "mel"))
        height, width = batch.lengths["image"][row].tolist()
        assert torch.equal(stacked["image"][row, :, :height, :width], pixels.permute(2, 0, 1))
        assert torch.equal(stacked["audio"][row, : int(batch.lengths["audio"][row])], samples[0] / 32768)
        assert torch.equal(stacked["tokens"][row, : int(batch.lengths["tokens"][row])], ids.long())
        assert torch.equal(stacked["mel"][row, :, : int(batch.lengths["mel"][row])], mel)
    assert batch.fields["text"] == [f"größe {number}" for number in range(4)]
    assert {name: (field.dtype, field.ndim) for name, field in stacked.items()} == {
        "image": (torch.uint8, 4), "audio": (torch.float32, 2), "tokens": (torch.int64, 2), "mel": (torch.float32, 3),
        "place": (torch.float64, 2),
    }  # fmt: skip
    assert set(batch.lengths) == {"image", "audio", "tokens", "mel"}
    assert batch.metadata[3] == {"label": "l0", "score": 1.5}
    assert len(batch) == 4
    assert not batch.padding.any()
    assert not batch.substituted.any()


def test_pictures_are_padded_at_the_bottom_and_the_right() -> None:
    """What lies beyond a picture is zero; the picture is channels last in memory."""
    type_ = FieldType("image", dtype="uint8", shape=(None, None, 3))
    batch = batch_of(type_, np.full((2, 5, 3), 7, np.uint8), np.full((4, 3, 3), 9, np.uint8))
    assert column(batch).shape == (2, 3, 4, 5)
    assert batch.lengths["x"].tolist() == [[2, 5], [4, 3]]
    assert column(batch)[0, :, 2:].sum() == column(batch)[1, :, :, 3:].sum() == 0
    assert column(batch).sum() == 7 * 30 + 9 * 36
    assert column(batch).is_contiguous(memory_format=torch.channels_last)


def test_sixteen_bits_become_floats_as_every_decoder_has_them() -> None:
    """The loudest samples are -1 and 32767 / 32768."""
    mono = FieldType("audio", shape=(1, None))
    batch = batch_of(mono, np.array([[-32768, 0, 32767]], np.int16), np.array([[1]], np.int16))
    assert column(batch).tolist() == [[-1.0, 0.0, 32767 / 32768], [1 / 32768, 0.0, 0.0]]
    assert batch.lengths["x"].tolist() == [3, 1]


def test_several_channels_have_an_axis() -> None:
    """Only where the schema has one channel is there no axis of channels; open channels are padded and have lengths."""
    stereo = batch_of(FieldType("audio", shape=(2, None)), np.zeros((2, 4), np.float32), np.ones((2, 3), np.float32))
    assert (column(stereo).shape, stereo.lengths["x"].tolist()) == ((2, 2, 4), [4, 3])
    for shape in ((None, None), None):
        kept = batch_of(FieldType("audio", shape=shape), np.ones((1, 4), np.float32), np.ones((2, 3), np.float32))
        assert column(kept).tolist() == [[[1, 1, 1, 1], [0, 0, 0, 0]], [[1, 1, 1, 0], [1, 1, 1, 0]]]
        assert kept.lengths["x"].tolist() == [[1, 4], [2, 3]]


def test_arrays_vary_in_the_axes_that_the_schema_leaves_open() -> None:
    """Open axes are padded and have lengths; a fixed shape has none; without a shape the first axis is open."""
    ragged = batch_of(FieldType("array", shape=(None, None)), np.ones((1, 3)), np.ones((2, 2)))
    assert ragged.lengths["x"].tolist() == [[1, 3], [2, 2]]
    assert column(ragged).tolist() == [[[1, 1, 1], [0, 0, 0]], [[1, 1, 0], [1, 1, 0]]]
    assert batch_of(FieldType("array", shape=(3,)), np.ones(3), np.ones(3)).lengths == {}
    assert batch_of(FieldType("array"), np.ones((2, 3)), np.ones((1, 3))).lengths["x"].tolist() == [2, 1]
    scalars = batch_of(FieldType("array"), np.array(1.5), np.array(2.5))
    assert (column(scalars).tolist(), scalars.lengths) == ([1.5, 2.5], {})


def test_absent_values_take_the_form_of_the_others() -> None:
    """An absent value is all padding; where all are absent, the batch is empty in that axis."""
    empty = np.zeros(0, np.float32)
    batch = batch_of(FieldType("array"), empty, np.ones((2, 3), np.int16))
    assert column(batch).tolist() == [[[0, 0, 0], [0, 0, 0]], [[1, 1, 1], [1, 1, 1]]]
    assert column(batch).dtype == torch.int16
    assert batch.lengths["x"].tolist() == [0, 2]
    assert column(batch_of(FieldType("array"), empty, empty)).shape == (2, 0)


@pytest.mark.parametrize("other", [np.ones((2, 4)), np.ones((2, 3), np.int64), np.ones(2)])
def test_arrays_that_fit_no_batch_are_refused_by_name(other: np.ndarray[Any, Any]) -> None:
    """Another size in a fixed axis, another type, and another number of axes are a ConfigError that names the field."""
    with pytest.raises(ConfigError, match="field 'x' differs from record to record"):
        batch_of(FieldType("array"), np.ones((2, 3)), other)


def test_a_batch_moves_as_a_whole(shared: Path) -> None:
    """`to` moves every tensor and leaves everything else as it is."""
    records = ShardedRecords(shared)
    batch = records.collate([records[0], records[1]])
    moved = batch.to("meta")
    assert {tensor.device.type for tensor in moved.tensors()} == {"meta"}
    assert len(moved.tensors()) == 5 + 4 + 2
    assert (moved.keys, moved.fields["text"], moved.metadata) == (batch.keys, batch.fields["text"], batch.metadata)
    assert {tensor.device.type for tensor in batch.tensors()} == {"cpu"}


def test_a_batch_that_many_threads_fill_is_the_same(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the parts are in which a batch is filled, its values are those of one that is filled at once."""
    options = LoaderOptions(threads=3)
    with Loader(shared, batch_size=12, options=options) as loader:
        expected = list(islice(stream(loader), 6))
    monkeypatch.setattr(pipeline, "_BYTES_A_TASK", 1)
    with Loader(shared, batch_size=12, options=options) as loader:
        for one, other in zip(expected, islice(stream(loader), 6), strict=True):
            assert_equal_batches(one, other)


def test_a_batch_without_a_field_has_its_form(make_dataset: MakeDataset) -> None:
    """Where no record of a batch has a field, the axes that the schema fixes are there all the same; the others are empty."""
    out = make_dataset([6], change=lambda record: record.without(*SCHEMA.fields))
    with Loader(out, batch_size=6) as loader:
        batch = next(iter(loader))
    shapes = {name: tuple(column.shape) for name, column in batch.fields.items() if isinstance(column, torch.Tensor)}
    assert shapes == {
        "image": (6, 3, 0, 0), "audio": (6, 0), "tokens": (6, 0), "mel": (6, 4, 0), "place": (6, 2),
    }  # fmt: skip
    assert batch.fields["text"] == [""] * 6
    assert not any(lengths.any() for lengths in batch.lengths.values())


def test_the_checks_take_batches_without_a_field(make_dataset: MakeDataset) -> None:
    """Records that lack a field are the same whatever the ranks, also where some batches have nothing of it."""
    out = make_dataset([6, 6], change=lambda record: record.without(*SCHEMA.fields) if record.key > "r0003" else record)

    def rank(number: int, world_size: int) -> Loader:
        return Loader(out, batch_size=6, rank=number, world_size=world_size, options=LoaderOptions(shuffle=False))

    assert_equal_across_ranks(rank, 3)
