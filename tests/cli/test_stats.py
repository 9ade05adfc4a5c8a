"""`mmdata stats`: a dataset in numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from mmdata.cli.main import group
from mmdata.errors import DatasetError
from tests.validation.datasets import make_dataset


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole dataset; the tests only read it."""
    return make_dataset(tmp_path_factory.mktemp("stats") / "dataset")


def test_tables_for_people(out: Path) -> None:
    """Counts, splits, members, measures and rejects are shown."""
    result = CliRunner().invoke(group, ["stats", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "13 rows in = 10 written + 3 rejected" in result.stdout
    for word in (".tokens.npy", "audio.snr", "train", "duplicate", "stages[0] some.stage: reason"):
        assert word in result.stdout


def test_json_for_programs(out: Path) -> None:
    """The numbers are those of the dataset."""
    found = json.loads(CliRunner().invoke(group, ["stats", str(out), "--json"], catch_exceptions=False).stdout)
    assert found["records"] == 10
    assert found["splits"]["train"] == {"records": 7, "shards": 2, "bytes": found["bytes"] - found["splits"]["val"]["bytes"]}
    assert found["measures"]["audio.snr"]["minimum"] == 10
    assert found["measures"]["audio.snr"]["median"] == pytest.approx(10.5625)
    assert sum(one["count"] for one in found["rejects"]) == 3


def test_rejected_rows_are_listed(out: Path) -> None:
    """Each with key, kind, stage, reason and detail, as many as were asked for; in JSON too."""
    text = CliRunner().invoke(group, ["stats", str(out), "--rejects"], catch_exceptions=False).stdout
    assert text.startswith("3 rows rejected\n")
    assert re.search(r"row-012 +duplicate +stages\[0\] some\.stage +reason +detail\n", text)
    short = CliRunner().invoke(group, ["stats", str(out), "--rejects", "1"], catch_exceptions=False).stdout
    assert "row-011" not in short
    assert "and 2 more; --rejects 3 shows all" in short
    found = json.loads(CliRunner().invoke(group, ["stats", str(out), "--rejects", "2", "--json"], catch_exceptions=False).stdout)
    assert found["rejected"] == 3
    assert [(row["key"], row["kind"]) for row in found["rows"]] == [("row-010", "error"), ("row-011", "filtered")]


def test_a_missing_dataset_is_an_error(tmp_path: Path) -> None:
    """It is one of the user's, with exit status 2."""
    assert isinstance(CliRunner().invoke(group, ["stats", str(tmp_path)]).exception, DatasetError)
