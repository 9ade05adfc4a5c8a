"""The model: embeddings of length 1 that depend on their record alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmdata.dataset import Dataset
from mmdata.loader import Batch, Loader, LoaderOptions
from mmdata.train.config import TextSettings, TrainConfig
from mmdata.train.layout import Layout
from mmdata.train.model import TriModel, make_model


def _batch(dataset: Dataset, size: int = 6) -> Batch:
    with Loader(dataset, batch_size=size, rank=0, world_size=1, options=LoaderOptions(shuffle=False)) as loader:
        return next(iter(loader))


def _row(batch: Batch, row: int) -> Batch:
    """One record of a batch without any of its padding."""
    height, width = batch.lengths["image"][row].tolist()
    fields = {
        "image": batch.fields["image"][row : row + 1, :, :height, :width],
        "audio": batch.fields["audio"][row : row + 1, : batch.lengths["audio"][row]],
        "tokens": batch.fields["tokens"][row : row + 1, : batch.lengths["tokens"][row]],
        "text": batch.fields["text"][row : row + 1],
    }
    lengths = {name: length[row : row + 1] for name, length in batch.lengths.items()}
    return replace(batch, keys=batch.keys[row : row + 1], fields=fields, lengths=lengths)


def _padded(batch: Batch) -> Batch:
    """The batch with more padding: pictures at the right and the bottom, all else at the end."""
    pad = torch.nn.functional.pad
    fields = {
        **batch.fields,
        "image": pad(batch.fields["image"], (0, 5, 0, 3)),
        "audio": pad(batch.fields["audio"], (0, 4321)),
        "tokens": pad(batch.fields["tokens"], (0, 7)),
    }
    return replace(batch, fields=fields)


@pytest.fixture(params=["tokens", "bytes", "strides"])
def model(request: pytest.FixtureRequest, dataset: Dataset, config: TrainConfig) -> TriModel:
    """A model that reads tokens, bytes, or bytes through convolutions."""
    texts = {
        "tokens": config.text,
        "bytes": TextSettings(units="bytes", layers=1),
        "strides": TextSettings(units="bytes", layers=1, strides=(1, 2)),
    }
    config = config.model_copy(update={"text": texts[request.param]})
    return make_model(Layout.of(dataset, config), config).eval()


def test_embeddings_have_length_one(model: TriModel, dataset: Dataset) -> None:
    """Every embedding of every modality is a finite vector of length 1."""
    embeddings = model.embed(_batch(dataset))
    assert list(embeddings) == ["text", "audio", "image"]
    for found in embeddings.values():
        assert found.shape == (6, 16)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(6))


def test_padding_changes_no_embedding(model: TriModel, dataset: Dataset) -> None:
    """A record has the same embeddings in a batch, in a batch with more padding, and alone."""
    batch = _batch(dataset)
    expected = model.embed(batch)
    more = model.embed(_padded(batch))
    for modality, found in expected.items():
        torch.testing.assert_close(more[modality], found, rtol=0, atol=1e-5)
        for row in range(len(batch)):
            alone = model.embed(_row(batch, row))[modality]
            torch.testing.assert_close(alone[0], found[row], rtol=0, atol=1e-5)


def test_records_differ(model: TriModel, dataset: Dataset) -> None:
    """Different records have different embeddings."""
    for found in model.embed(_batch(dataset)).values():
        assert len(found.unique(dim=0)) == 6


def test_length_is_seen(dataset: Dataset, config: TrainConfig) -> None:
    """The same token, once and several times, has different embeddings even without layers that tell positions apart."""
    config = config.model_copy(update={"text": TextSettings(layers=0)})
    model = make_model(Layout.of(dataset, config), config).eval()
    batch = _batch(dataset, 2)
    tokens = torch.full((2, 8), 7)
    batch = replace(batch, fields={**batch.fields, "tokens": tokens}, lengths={**batch.lengths, "tokens": torch.tensor([2, 8])})
    first, second = model.embed(batch)["text"]
    assert not torch.allclose(first, second, atol=1e-3)


def test_weights_follow_from_the_seed_and_leave_global_state_alone(dataset: Dataset, config: TrainConfig) -> None:
    """The same seed gives the same weights, another seed others, and torch's generator is not moved."""
    layout = Layout.of(dataset, config)
    before = torch.get_rng_state()
    first, again = (make_model(layout, config).state_dict() for _ in range(2))
    other = make_model(layout, config.model_copy(update={"seed": 1})).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_half_precision_gives_embeddings_close_to_full_ones(dataset: Dataset, config: TrainConfig) -> None:
    """With bfloat16 the encoders compute less exactly, and embeddings are float32 all the same."""
    layout = Layout.of(dataset, config)
    full, half = (
        make_model(layout, config.model_copy(update={"precision": precision})).eval().embed(_batch(dataset))
        for precision in ("float32", "bfloat16")
    )
    for modality, found in half.items():
        assert found.dtype == torch.float32
        assert bool(((found * full[modality]).sum(1) > 0.98).all())
