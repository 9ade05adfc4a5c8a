"""A dataset folder is opened by its description alone, which vouches for itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.loader_scale import write_description
from mmdata.dataset import DESCRIPTION, Dataset
from mmdata.errors import DatasetError
from mmdata.loader import Loader


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """A folder that holds the description of 2,000 shards and nothing else."""
    write_description(tmp_path, 2000, 1000)
    return tmp_path


def test_opening_reads_the_description_alone(described: Path) -> None:
    """A loader over shards and indexes that are not there opens, knows its steps and plans them."""
    with Loader(described, batch_size=1000) as loader:
        assert len(loader) == 2000
        rows = loader.schedule.rows(next(iter(loader.schedule.epoch(7))))
    assert len(rows.shards) == 1000
    shutil.rmtree(described)


@pytest.mark.parametrize("indent", [None, 1])
def test_the_checksum_covers_every_value_however_the_json_is_laid_out(described: Path, indent: int | None) -> None:
    """The same content in another layout is the same dataset; another value is refused in any layout."""
    path = described / DESCRIPTION
    description = json.loads(path.read_text())
    path.write_text(json.dumps(description, indent=indent))
    assert Dataset(described).checksum == description["checksum"]
    description["shards"]["train"][1999]["records"] += 1
    path.write_text(json.dumps(description, indent=indent))
    with pytest.raises(DatasetError, match="changed after the build"):
        Dataset(described)


@pytest.mark.parametrize("change", ['"records":1000', '"checksum":"'])
def test_a_changed_canonical_description_is_refused(described: Path, change: str) -> None:
    """One other digit in what a build wrote, the checksum included, is found."""
    path = described / DESCRIPTION
    path.write_text(path.read_text().replace(change, change + "0", 1))
    with pytest.raises(DatasetError, match="changed after the build"):
        Dataset(described)


def test_a_description_without_a_checksum_is_refused(described: Path) -> None:
    """What does not vouch for itself is not believed."""
    path = described / DESCRIPTION
    description = json.loads(path.read_text())
    del description["checksum"]
    path.write_text(json.dumps(description))
    with pytest.raises(DatasetError, match="changed after the build"):
        Dataset(described)
