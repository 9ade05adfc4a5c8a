"""Measures a trained model on records that it has not seen."""

from __future__ import annotations

from pathlib import Path

import torch

from mmdata.dataset import Dataset
from mmdata.errors import DatasetError
from mmdata.loader import Loader, LoaderOptions, PictureView
from mmdata.train.checkpoint import CHECKPOINT, Checkpoint
from mmdata.train.config import TrainConfig
from mmdata.train.contents import Contents, contents_of
from mmdata.train.layout import Layout
from mmdata.train.model import Embeddings, TriModel, make_model
from mmdata.train.retrieval import Retrieval, concatenated, measure


def evaluate(run: str | Path, data: str | Path, *, split: str = "val", device: torch.device | str = "cpu") -> Retrieval:
    """Measure the model of a training run on a split of a dataset, which may be another one than it was trained on.

    Raises ConfigError where there is no checkpoint or the model cannot read the dataset, DatasetError for a folder that cannot
    be used or lacks the split.
    """
    model, config = load_model(run)
    dataset = Dataset(data)
    model.layout.check(dataset, config)
    return evaluate_model(model, config, dataset, split, device)


def load_model(run: str | Path) -> tuple[TriModel, TrainConfig]:
    """Return the model of a training run, on the processor, and its settings. Raises ConfigError where there is none."""
    checkpoint = Checkpoint.read(Path(run) / CHECKPOINT)
    model = make_model(checkpoint.layout, checkpoint.config)
    model.load_state_dict(checkpoint.model)
    return model, checkpoint.config


def evaluate_model(
    model: TriModel, config: TrainConfig, dataset: Dataset, split: str, device: torch.device | str = "cpu"
) -> Retrieval:
    """Measure a model on a split. Raises ConfigError for a device that there is not, DatasetError where no record is readable."""
    options = loader_options(model.layout, config, shuffle=False)
    with Loader(
        dataset, split=split, batch_size=config.batch_size, rank=0, world_size=1, device=device, options=options
    ) as loader:
        embeddings, contents, unread = _embedded(model.to(device).eval(), loader)
    records = len(next(iter(embeddings.values())))
    if not records:
        raise DatasetError(f"{dataset.path}: no record of split {split!r} can be read")
    return Retrieval(split, records, unread, measure(embeddings, contents))


def _embedded(model: TriModel, loader: Loader) -> tuple[Embeddings, Contents, int]:
    """Return embeddings and contents of the records of an epoch, and how many records could not be read."""
    embeddings: list[Embeddings] = []
    contents: list[Contents] = []
    unread = 0
    for batch in loader:
        kept = ~(batch.padding | batch.substituted)
        unread += int((batch.substituted & ~batch.padding).sum())
        embeddings.append({modality: found[kept] for modality, found in model.embed(batch).items()})
        contents.append({modality: found[kept] for modality, found in contents_of(batch, model.layout).items()})
    return concatenated(embeddings), concatenated(contents), unread


def loader_options(layout: Layout, config: TrainConfig, *, shuffle: bool, threads: int | None = None) -> LoaderOptions:
    """Return how records are read: shuffled for training, or each once and in order for measuring.

    Pictures are resized by the loader, so no more of them is decoded than the model sees.
    """
    size = config.image.size
    views = {layout.fields["image"]: PictureView((size, size), crop="none")} if "image" in layout.fields else {}
    return LoaderOptions(
        views=views,
        shuffle=shuffle,
        last="drop" if shuffle else "pad",
        fields=tuple(layout.fields.values()),
        max_seconds=config.audio.seconds,
        max_tokens=config.text.length,
        threads=threads,
    )
