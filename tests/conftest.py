"""Fixtures that tests of several parts share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mmdata.recipe import Recipe
from tests.corpus import make_corpus, recipe_data


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
