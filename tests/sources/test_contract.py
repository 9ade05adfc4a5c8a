"""What holds for every source: it opens to the same rows, anywhere and in any order, and reads the files they name."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmdata.errors import RecordError, SourceError
from mmdata.sources.base import SourceConfig
from mmdata.sources.files import Files
from mmdata.sources.manifest import Manifest

KINDS = ("jsonl", "csv", "tsv", "parquet", "files", "pattern")


def configuration(kind: str, folder: Path) -> SourceConfig:
    """Write a corpus of five rows, and return the source over it."""
    rows = [{"key": f"row{number}", "txt": f"texts/{number}.txt"} for number in range(5)]
    (folder / "texts").mkdir(parents=True)
    for number, row in enumerate(rows):
        (folder / row["txt"]).write_text(f"text {number}", encoding="utf-8")
    match kind:
        case "files":
            return Files(path=str(folder))
        case "pattern":
            return Files(path=str(folder), pattern="texts/{key}.{column}")
        case "jsonl":
            (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        case "csv" | "tsv":
            with (folder / f"rows.{kind}").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, ["key", "txt"], delimiter="," if kind == "csv" else "\t")
                writer.writeheader()
                writer.writerows(rows)
        case "parquet":
            pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=2)
    return Manifest(path=str(folder / f"rows.{kind}"), key="key")


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> SourceConfig:
    """Each source in turn."""
    return configuration(request.param, tmp_path / "corpus")


def test_opens_to_the_same_rows_each_time(config: SourceConfig) -> None:
    """Opened twice, and after a way through pickle, a source has the same rows."""
    first, second = config.open(), config.open()
    copy = pickle.loads(pickle.dumps(first))
    rows = [first[number] for number in range(len(first))]
    assert len(rows) == 5
    assert rows == [second[number] for number in range(len(second))] == [copy[number] for number in range(len(copy))]


def test_rows_do_not_depend_on_the_order_of_access(config: SourceConfig) -> None:
    """Backwards, the rows are the same as forwards."""
    source = config.open()
    assert [source[number] for number in (4, 0, 2, 2, 1, 3)] == [config.open()[number] for number in (4, 0, 2, 2, 1, 3)]


def test_there_is_no_row_beyond_the_last(config: SourceConfig) -> None:
    """A number that is no row's raises IndexError."""
    source = config.open()
    with pytest.raises(IndexError):
        source[len(source)]


def test_reads_the_file_that_a_row_names(config: SourceConfig) -> None:
    """The bytes of each row's file are those on the disk."""
    source = config.open()
    texts = [source.read(source[number].columns["txt"]) for number in range(len(source))]
    assert texts == [f"text {number}".encode() for number in range(5)]


def test_a_missing_file_is_a_record_error(config: SourceConfig) -> None:
    """A path without a file is refused with a reason that can be counted."""
    with pytest.raises(RecordError) as caught:
        config.open().read("texts/none.txt")
    assert caught.value.reason == "file is missing"


def test_a_source_whose_path_is_gone_names_it(config: SourceConfig) -> None:
    """A path that does not exist is said in the error, with the option to set."""
    gone = config.model_copy(update={"path": "no/such/place.jsonl"})
    with pytest.raises(SourceError, match=r"no/such/place\.jsonl: there is no such .*; set source\.path"):
        gone.open()


def test_the_configuration_survives_json(config: SourceConfig) -> None:
    """A recipe keeps its source as plain data."""
    assert type(config).model_validate(config.model_dump(mode="json")) == config
