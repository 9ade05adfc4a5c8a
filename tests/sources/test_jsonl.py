"""JSON Lines manifests: where rows begin, and which damage spoils which row."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.errors import RecordError
from mmdata.sources import jsonl
from mmdata.sources.jsonl import JsonlTable
from mmdata.sources.raw_file import RawFile


def table(folder: Path, content: bytes) -> JsonlTable:
    """Open a manifest of these bytes."""
    (folder / "rows.jsonl").write_bytes(content)
    return JsonlTable(RawFile(str(folder / "rows.jsonl")))


def reason(rows: JsonlTable, index: int) -> str:
    """Return why a row cannot be used."""
    with pytest.raises(RecordError) as caught:
        rows[index]
    return caught.value.reason


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1}\n{"a": 2}\n',
        b'{"a": 1}\n{"a": 2}',
        b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n',
        b'{"a": 1}\r\n{"a": 2}\r\n',
        b'\n\n{"a": 1}\n \t \r\n\n  {"a": 2}  \n\n',
    ],
    ids=["plain", "no last newline", "byte order mark", "carriage returns", "blank lines"],
)
def test_lines_that_are_not_blank_are_rows(tmp_path: Path, content: bytes) -> None:
    """Blank lines, a byte order mark and the kind of line end change nothing."""
    rows = table(tmp_path, content)
    assert [rows[number] for number in range(len(rows))] == [{"a": 1}, {"a": 2}]


@settings(max_examples=200)
@given(st.lists(st.sampled_from([b"", b" ", b"\t\r", b"{}", b'{"a"  : 1}', b"  [7]  ", b"x\r"]), max_size=12), st.integers(1, 9))
def test_rows_are_the_same_for_any_block_size(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], block: int) -> None:
    """However the file is cut into blocks, every filled line is found once and whole."""
    path = tmp_path_factory.getbasetemp() / "blocks.jsonl"
    path.write_bytes(b"\n".join(lines))
    raw = RawFile(str(path))
    bounds = [*jsonl.row_starts(raw, block).tolist(), raw.size]
    found = [raw.read(start, end).strip() for start, end in pairwise(bounds)]
    assert found == [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{", "manifest line is not valid JSON"),
        (b'["a", "b"]', "manifest line is not valid JSON"),
        (b"null", "manifest line is not valid JSON"),
        (b'{"a": NaN}', "manifest line is not valid JSON"),
        (b'{"a": -Infinity}', "manifest line is not valid JSON"),
        (b'{"a": 1e999}', "manifest line is not valid JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "manifest line is not valid JSON"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "manifest line is not valid JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "manifest line is not valid JSON"),
        (b'{"a": 1} {"b": 2}', "manifest line is not valid JSON"),
        (b"\x00\x00", "manifest line is not valid JSON"),
        (b'{"a": "\xff"}', "manifest line is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "manifest line is not UTF-8"),
        (b'{"a": 1, "b": 2, "a": 1}', "manifest line repeats a name"),
        (b'{"a": [{"b": 1, "b": 2}]}', "manifest line repeats a name"),
    ],
)
def test_a_damaged_line_spoils_its_row_only(tmp_path: Path, line: bytes, expected: str) -> None:
    """The row cannot be used, for a reason that can be counted; its neighbours can."""
    rows = table(tmp_path, b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    assert reason(rows, 1) == expected
    assert len(rows) == 3
    assert [rows[0], rows[2]] == [{"a": 1}, {"a": 2}]


def test_brackets_in_a_text_are_not_depth(tmp_path: Path) -> None:
    """Many brackets within a string are just characters."""
    row = {"text": "[{" * 200}
    assert table(tmp_path, json.dumps(row).encode())[0] == row


def test_a_line_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    """A line of more than 64 MiB costs a reject, not the memory."""
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": "')
        file.truncate(80 << 20)
    rows = JsonlTable(RawFile(str(path)))
    tracemalloc.start()
    assert reason(rows, 0) == "manifest line is too long"
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
