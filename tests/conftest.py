"""Fixtures that tests of several parts share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mmdata.recipe import Recipe
from tests.corpus import make_corpus, recipe_data
from tests.incremental import Corpus, Inline


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> None:
    """Let Ctrl-C count: a shell that runs the tests in the background has them, and what they start, ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """The manifest of a small corpus."""
    return make_corpus(tmp_path / "corpus")


@pytest.fixture
def recipe(manifest: Path) -> Recipe:
    """A recipe over the small corpus."""
    return Recipe.from_data(recipe_data(manifest))


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let builds work where they are called."""
    monkeypatch.setattr("mmdata.engines.local.LocalEngine", Inline)


@pytest.fixture
def own(tmp_path: Path, inline: None) -> tuple[Corpus, Path]:  # noqa: ARG001 - a fixture
    """A corpus of 16 rows and its dataset."""
    corpus = Corpus.make(tmp_path / "corpus", 16, split={})
    corpus.build(tmp_path / "out")
    return corpus, tmp_path / "out"
