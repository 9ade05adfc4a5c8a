"""Parquet manifests: values as they are, row groups one at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmdata.errors import RecordError, SourceError
from mmdata.sources.manifest import Manifest, ManifestSource


def opened(folder: Path, table: pa.Table, **options: Any) -> ManifestSource:
    """Open a manifest of this table."""
    pq.write_table(table, folder / "rows.parquet", **options)
    return Manifest(path=str(folder / "rows.parquet")).open()


def test_values_come_as_they_are(tmp_path: Path) -> None:
    """Null is None, binary is bytes, and a picture as Hugging Face keeps it is a dict."""
    row = {
        "image": {"bytes": b"\xff\xd8", "path": "a.jpg"},
        "raw": b"\x00",
        "none": None,
        "empty": "",
        "list": [[1, 2.5]],
        "n": 7,
    }
    assert opened(tmp_path, pa.Table.from_pylist([row]))[0].columns == row


def test_rows_of_many_groups_come_in_any_order(tmp_path: Path) -> None:
    """Row numbers count over all row groups, empty ones included."""
    path = tmp_path / "rows.parquet"
    schema = pa.schema([("n", pa.int64())])
    with pq.ParquetWriter(path, schema) as writer:
        for numbers in ([0, 1, 2], [], [3], [4, 5]):
            writer.write_table(pa.table({"n": pa.array(numbers, pa.int64())}))
    source = Manifest(path=str(path)).open()
    order = [5, 0, 3, 2, 4, 1]
    assert len(source) == 6
    assert [source[number].columns["n"] for number in order] == order


def test_a_damaged_group_spoils_its_own_rows_only(tmp_path: Path) -> None:
    """Rows of a group whose bytes are broken cannot be used; the others can."""
    opened(
        tmp_path, pa.table({"text": ["first" * 50, "second" * 50]}), row_group_size=1, compression="zstd", use_dictionary=False
    )
    path = tmp_path / "rows.parquet"
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    source = Manifest(path=str(path)).open()
    with pytest.raises(RecordError) as caught:
        source[0]
    assert caught.value.reason == "row cannot be read"
    assert source[1].columns == {"text": "second" * 50}


def test_a_text_that_is_not_utf_8_spoils_its_row_only(tmp_path: Path) -> None:
    """Parquet writers do not always check their texts."""
    offsets, characters = pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xffb")
    source = opened(tmp_path, pa.table({"text": pa.StringArray.from_buffers(2, offsets, characters)}))
    with pytest.raises(RecordError) as caught:
        source[0]
    assert caught.value.reason == "row is not UTF-8"
    assert source[1].columns == {"text": "b"}


@pytest.mark.parametrize("keep", [0, 3, 40])
def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, keep: int) -> None:
    """A file that was cut short is an error of the whole manifest."""
    opened(tmp_path, pa.table({"n": [1, 2]}))
    path = tmp_path / "rows.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match="is no readable Parquet file"):
        Manifest(path=str(path)).open()


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    """One of them would hide the other."""
    with pytest.raises(SourceError, match="the column 'a' twice"):
        opened(tmp_path, pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]))
