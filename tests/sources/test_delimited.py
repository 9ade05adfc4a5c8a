"""CSV and TSV manifests: rows found once, read in any order, and what damage does to them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdata.errors import RecordError, SourceError
from mmdata.sources.manifest import Manifest, ManifestSource


def opened(
    folder: Path, content: bytes, name: str = "rows.csv", *, quotes: bool = True, key: str | None = None
) -> ManifestSource:
    """Open a manifest of these bytes."""
    (folder / name).write_bytes(content)
    return Manifest(path=str(folder / name), quotes=quotes, key=key).open()


def reason(source: ManifestSource, index: int) -> str:
    """Return why a row cannot be used."""
    with pytest.raises(RecordError) as caught:
        source[index]
    return caught.value.reason


def columns(source: ManifestSource) -> list[dict[str, str]]:
    """Return all rows by column."""
    return [dict(source[number].columns) for number in range(len(source))]


@pytest.mark.parametrize(
    "content",
    [b"a,b\n1,\n3,4\n", b"a,b\n1,\n3,4", b"\xef\xbb\xbfa,b\r\n1,\r\n3,4\r\n", b'\na,b\n\n\n1,""\n\n"3","4"\n\n'],
    ids=["plain", "no last newline", "byte order mark and carriage returns", "blank lines and quotes"],
)
def test_rows_follow_the_header(tmp_path: Path, content: bytes) -> None:
    """Empty cells stay empty texts; blank lines are no rows."""
    assert columns(opened(tmp_path, content)) == [{"a": "1", "b": ""}, {"a": "3", "b": "4"}]


@settings(max_examples=200)
@given(st.lists(st.tuples(*[st.text('ab",\t\n\r\x00\x0b\x85\u2028é', max_size=5)] * 2), min_size=1, max_size=6))
def test_what_the_csv_module_writes_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    """Quotes, separators, line breaks of every kind and NULs within cells survive, in any order of access."""
    sink = io.StringIO(newline="")
    csv.writer(sink).writerows([("a", "b"), *rows])
    source = opened(tmp_path_factory.getbasetemp(), sink.getvalue().encode())
    found = [source[number].columns for number in reversed(range(len(source)))]
    assert found == [{"a": first, "b": second} for first, second in reversed(rows)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"only one", "row has the wrong number of cells"),
        (b"one,two,three", "row has the wrong number of cells"),
        (b"\xff,b", "manifest line is not UTF-8"),
        (b'"a"b,c', "row is not valid CSV"),
        (b"a\rb,c", "row is not valid CSV"),
    ],
)
def test_a_damaged_row_spoils_itself_only(tmp_path: Path, line: bytes, expected: str) -> None:
    """The row cannot be used, for a reason that can be counted; its neighbours can."""
    source = opened(tmp_path, b'a,b\n1,"2\n3"\n' + line + b"\n4,5\n")
    assert reason(source, 1) == expected
    assert len(source) == 3
    assert [source[0].columns, source[2].columns] == [{"a": "1", "b": "2\n3"}, {"a": "4", "b": "5"}]


@pytest.mark.parametrize("rest", [b"", b"x,y\n" * 50_000], ids=["at the end", "before much text"])
def test_a_quote_that_is_never_closed_is_refused_with_its_line(tmp_path: Path, rest: bytes) -> None:
    """It would swallow all rows after it as one, so the line is named instead."""
    with pytest.raises(SourceError, match=r"rows\.csv:3: .*without an end.*source\.quotes: false"):
        opened(tmp_path, b'a,b\n1,2\n3,"4\n' + rest)


def test_without_quotes_a_quote_is_a_character(tmp_path: Path) -> None:
    """Tables that know no quoting keep their quotes."""
    source = opened(tmp_path, b'a\tb\n"hi" she said\t5"\n"\t"\n', "rows.tsv", quotes=False)
    assert columns(source) == [{"a": '"hi" she said', "b": '5"'}, {"a": '"', "b": '"'}]


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"a,b,a", "the column 'a' twice"),
        (b"a,,b", "a column without a name"),
        (b"a,b\xff", "header row cannot be read"),
        (b'"a"b,c', "header row cannot be read"),
        (b"", "has no header row"),
        (b"a,b", "has no rows"),
    ],
)
def test_a_header_that_names_no_columns_is_refused(tmp_path: Path, header: bytes, found: str) -> None:
    """Repeated, empty and unreadable names, and a header alone, are errors of the whole manifest."""
    rows = b"\n1,2,3\n" if found not in {"has no header row", "has no rows"} else b"\n"
    with pytest.raises(SourceError, match=found):
        opened(tmp_path, header + rows)


def test_a_key_column_that_is_absent_is_refused(tmp_path: Path) -> None:
    """The error lists the columns that there are."""
    with pytest.raises(SourceError, match="no column 'id' for the key; there are a, b"):
        opened(tmp_path, b"a,b\n1,2\n", key="id")
