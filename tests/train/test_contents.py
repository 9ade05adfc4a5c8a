"""Fingerprints of contents: equal for equal contents, whatever the padding, and different for different ones."""

from __future__ import annotations

from dataclasses import replace

import torch

from mmdata.dataset import Dataset
from mmdata.loader import Batch, Loader, LoaderOptions
from mmdata.train.config import TrainConfig
from mmdata.train.contents import contents_of
from mmdata.train.layout import Layout


def _batch(dataset: Dataset) -> Batch:
    with Loader(dataset, batch_size=6, rank=0, world_size=1, options=LoaderOptions(shuffle=False)) as loader:
        return next(iter(loader))


def test_different_records_differ_and_padding_does_not_matter(dataset: Dataset, config: TrainConfig) -> None:
    """Six different records have six fingerprints in each modality, the same with more padding."""
    batch, layout = _batch(dataset), Layout.of(dataset, config)
    found = contents_of(batch, layout)
    pad = torch.nn.functional.pad
    padded = {name: pad(column, (0, 9)) for name, column in batch.fields.items() if isinstance(column, torch.Tensor)}
    more = contents_of(replace(batch, fields={**batch.fields, **padded}), layout)
    for modality, fingerprints in found.items():
        assert len(set(fingerprints.tolist())) == 6
        assert torch.equal(more[modality], fingerprints)


def test_equal_contents_are_equal_and_absent_ones_zero(dataset: Dataset, config: TrainConfig) -> None:
    """Records that repeat have the fingerprint of the first, and a record without tokens has 0."""
    batch, layout = _batch(dataset), Layout.of(dataset, config)
    rows = torch.tensor([0, 1, 0])
    fields = {name: column[rows] for name, column in batch.fields.items() if isinstance(column, torch.Tensor)}
    lengths = {name: length[rows] for name, length in batch.lengths.items()}
    lengths["tokens"] = torch.tensor([0, *lengths["tokens"][1:].tolist()])
    found = contents_of(replace(batch, fields=fields, lengths=lengths), layout)
    assert found["text"][0] == 0
    for modality in ("audio", "image"):
        assert found[modality][0] == found[modality][2] != found[modality][1]


def test_places_matter() -> None:
    """The same values in other places are another content."""
    from mmdata.train.contents import weighted_sums

    assert len(set(weighted_sums(torch.tensor([[1, 2, 3], [3, 2, 1], [1, 3, 2]])).tolist())) == 3
