"""A small dataset to learn from, built once, and settings small enough to learn it in no time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mmdata.builder import build
from mmdata.dataset import Dataset
from mmdata.recipe import Recipe
from mmdata.train.config import AudioSettings, ImageSettings, TextSettings, TrainConfig
from tests.corpus import make_corpus, recipe_data


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small models are fastest on one thread, and threads that wait for each other are slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """24 records with picture, sound, text and tokens, some of them held out."""
    folder = tmp_path_factory.mktemp("train")
    manifest = make_corpus(folder / "corpus")
    return build(Recipe.from_data(recipe_data(manifest)), folder / "out", workers=1)


@pytest.fixture(scope="session")
def other_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Another dataset, with fewer records and so another tokenizer."""
    folder = tmp_path_factory.mktemp("other")
    manifest = make_corpus(folder / "corpus", rows=15)
    return build(Recipe.from_data(recipe_data(manifest)), folder / "out", workers=1)


@pytest.fixture
def config() -> TrainConfig:
    """Settings of a model of some thousand parameters that reads tokens."""
    return TrainConfig(
        name="test",
        text=TextSettings(length=16, layers=1),
        audio=AudioSettings(seconds=1.0, layers=1),
        image=ImageSettings(size=16, channels=(8, 16)),
        width=16,
        heads=2,
        embedding=16,
        epochs=4,
        batch_size=4,
        log_every=1,
        checkpoint_every=5,
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder of a run."""
    return tmp_path / "run"
