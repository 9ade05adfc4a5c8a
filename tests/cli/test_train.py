"""`mmdata train` and `mmdata evaluate`: what they say to people."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from mmdata.cli.main import group
from mmdata.cli.retrieval import retrieval_text
from mmdata.errors import ConfigError
from mmdata.train.retrieval import Retrieval, measure
from tests.validation.datasets import make_dataset


def trained(tmp_path: Path, *options: str) -> BaseException | None:
    """Train on a dataset of 7 records; return what went wrong."""
    out = tmp_path / "dataset"
    if not out.exists():
        make_dataset(out)
    args = ["train", "tiny", "--data", str(out), "--out", str(tmp_path / "run"), "--set", "modalities=[text, image]"]
    return CliRunner().invoke(group, [*args, *options]).exception


def test_a_small_dataset_is_told_the_setting_to_change(tmp_path: Path) -> None:
    """The error is in the words of the command line; what it advises is taken."""
    error = trained(tmp_path)
    assert isinstance(error, ConfigError)
    assert "has 7 records, fewer than a batch of 128" in str(error)
    assert str(error).endswith("--set batch_size=4")
    assert trained(tmp_path, "--set", "batch_size=4", "--set", "epochs=1") is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_told_the_option(tmp_path: Path) -> None:
    """The error names the option as it is written on the command line."""
    error = trained(tmp_path, "--device", "cuda", "--set", "batch_size=4")
    assert isinstance(error, ConfigError)
    assert "use 'cpu' (--device cpu)" in str(error)


def test_heads_stand_over_their_columns_and_few_records_are_said() -> None:
    """Every column ends where its head ends; what is measured on a handful of records says so."""
    eye, contents = torch.eye(12), torch.arange(1, 13)
    found = measure({"text": eye, "image": eye}, {"text": contents, "image": contents})
    lines = retrieval_text(Retrieval("val", 12, 0, found)).splitlines()
    assert lines[0] == "retrieval on 12 records of split val"
    head, *rows = lines[1:4]
    for column in ("recall at 1 ", "recall at 10", "median rank"):
        end = head.index(column) + len(column.rstrip())
        assert all(row[:end].rstrip() == row[:end] and row[end:][:1] in {"", " "} for row in rows)
    assert lines[-1] == "12 records: too few to prove anything"
    assert "too few" not in retrieval_text(Retrieval("val", 50, 0, found))
