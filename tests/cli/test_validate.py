"""`mmdata validate`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mmdata.cli.main import group
from mmdata.errors import DatasetError
from tests.validation.datasets import change_payload, make_dataset


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A whole dataset."""
    return make_dataset(tmp_path / "dataset")


def test_a_whole_dataset_ends_with_0(out: Path) -> None:
    """The summary says how much was looked at, and the report is written into the folder."""
    result = CliRunner().invoke(group, ["validate", str(out)])
    assert result.exit_code == 0
    assert "10 records (7 train, 3 val)" in result.stdout
    assert "every promise is kept" in result.stdout
    assert (out / "report/index.html").is_file()
    assert (out / "report/validation.json").is_file()


def test_problems_end_with_1(out: Path, tmp_path: Path) -> None:
    """Problems are listed by check with their places; --report names another folder."""
    change_payload(out, "train-000000.tar", "row-001.txt", lambda _: b"other")
    result = CliRunner().invoke(group, ["validate", str(out), "--report", str(tmp_path / "report")])
    assert result.exit_code == 1
    assert "train-000000.tar, record row-001 .tokens.npy: they are not those of the stored text" in result.stdout
    assert (tmp_path / "report/index.html").is_file()
    assert not (out / "report").exists()


def test_json_is_one_object_and_nothing_else(out: Path) -> None:
    """Standard output is the report as JSON."""
    result = CliRunner().invoke(group, ["validate", str(out), "--json"])
    found = json.loads(result.stdout)
    assert found["ok"] is True
    assert found["findings"] == []
    assert result.stderr == ""


def test_a_folder_that_is_no_dataset_cannot_be_validated(tmp_path: Path) -> None:
    """The error names the folder; `main` turns it into exit status 2."""
    result = CliRunner().invoke(group, ["validate", str(tmp_path)])
    assert isinstance(result.exception, DatasetError)
    assert result.exception.exit_status == 2


def test_control_characters_do_not_reach_the_terminal(out: Path) -> None:
    """A file name or a key from a damaged folder is shown by number."""
    (out / "a\x1b[2Jb").write_text("x", encoding="utf-8")
    result = CliRunner().invoke(group, ["validate", str(out)])
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert "a\\x1b[2Jb" in result.stdout


def test_at_most_twenty_findings_of_a_check_are_printed(out: Path) -> None:
    """The rest is counted."""
    for number in range(30):
        (out / f"foreign-{number}").write_text("x", encoding="utf-8")
    result = CliRunner().invoke(group, ["validate", str(out)])
    assert result.stdout.count("foreign-") == 20
    assert "and 10 more" in result.stdout


@pytest.mark.parametrize(("damaged", "status"), [("nothing", 0), ("a file", 1), ("the description", 1), ("all", 2)])
def test_exit_status_of_a_real_process(out: Path, damaged: str, status: int) -> None:
    """0 nothing is wrong, 1 problems, 2 no dataset; nothing but errors goes to standard error."""
    if damaged == "a file":
        (out / "rejects.parquet").unlink()
    if damaged == "the description":
        (out / "dataset.json").write_text("{", encoding="utf-8")
    if damaged == "all":
        (out / "dataset.json").unlink()
    code = "from mmdata.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "validate", str(out)], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("mmdata: error:" if status == 2 else "")
    assert bool(done.stderr) == (status == 2)
