"""A small whole dataset, written once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.validation.built import build_dataset
from tests.validation.datasets import make_dataset


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset without any damage; tests must not change it."""
    return make_dataset(tmp_path_factory.mktemp("whole") / "dataset")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that was built of raw files, without any damage; tests must not change it."""
    return build_dataset(tmp_path_factory.mktemp("built"))


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "dataset"))
