"""What the formats of a manifest share: the key, the format by suffix, and where files are looked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pydantic import TypeAdapter

from mmdata.errors import RecordError, SourceError
from mmdata.sources import AnySource
from mmdata.sources.files import Files
from mmdata.sources.manifest import Manifest, ManifestSource


def opened(folder: Path, *rows: dict[str, Any], key: str | None = None) -> ManifestSource:
    """Open a JSON Lines manifest of these rows."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Manifest(path=str(path), key=key).open()


def test_keys_are_row_numbers_by_default(tmp_path: Path) -> None:
    """Without a key column, a row's key is its number with nine digits."""
    source = opened(tmp_path, *({"text": "x"} for _ in range(13)))
    assert [source[number].key for number in (0, 12)] == ["000000000", "000000012"]


def test_a_key_is_a_text_or_an_integer(tmp_path: Path) -> None:
    """A whole number counts as a key, written in digits."""
    source = opened(tmp_path, {"id": "a/b.c"}, {"id": 7}, key="id")
    assert [source[0].key, source[1].key] == ["a/b.c", "7"]


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": ""}, {"id": True}, {"id": 1.5}, {"id": ["a"]}])
def test_a_row_without_a_key_is_a_record_error(tmp_path: Path, row: dict[str, Any]) -> None:
    """A missing, empty or otherwise unfit key spoils that row alone."""
    source = opened(tmp_path, row, {"id": "good"}, key="id")
    with pytest.raises(RecordError) as caught:
        source[0]
    assert caught.value.reason == "row has no key"
    assert source[1].key == "good"


def test_a_key_with_half_a_character_is_a_record_error(tmp_path: Path) -> None:
    """A lone surrogate, which JSON can smuggle in, makes no key."""
    source = opened(tmp_path, {"id": "\ud800"}, key="id")
    with pytest.raises(RecordError) as caught:
        source[0]
    assert caught.value.reason == "key is not valid Unicode"


@pytest.mark.parametrize("name", ["rows.JSONL", "rows.ndjson"])
def test_the_suffix_gives_the_format(tmp_path: Path, name: str) -> None:
    """Suffixes count in capitals, too."""
    (tmp_path / name).write_text('{"a": 1}')
    assert Manifest(path=str(tmp_path / name)).open()[0].columns == {"a": 1}


def test_the_option_goes_before_the_suffix(tmp_path: Path) -> None:
    """A format that is given is taken, whatever the suffix."""
    (tmp_path / "rows.csv").write_text('{"a": 1}')
    assert Manifest(path=str(tmp_path / "rows.csv"), format="jsonl").open()[0].columns == {"a": 1}


def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The error lists the suffixes and names the option that helps."""
    (tmp_path / "rows.xlsx").write_bytes(b"")
    with pytest.raises(SourceError, match=r"'\.xlsx' names no format .*\.jsonl.*; set source\.format"):
        Manifest(path=str(tmp_path / "rows.xlsx")).open()


@pytest.mark.parametrize("content", ["", "\n \r\n\n", "\ufeff"])
def test_a_manifest_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    """An empty corpus is an error that the user wants to know."""
    (tmp_path / "rows.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match="has no rows"):
        Manifest(path=str(tmp_path / "rows.jsonl")).open()


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    """A folder in the place of the manifest is said to be none."""
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(SourceError, match="is not a file"):
        Manifest(path=str(tmp_path / "rows.jsonl")).open()


def test_utf_16_is_refused_with_advice(tmp_path: Path) -> None:
    """What spreadsheets save as Unicode text is not mistaken for damaged rows."""
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n", encoding="utf-16")
    with pytest.raises(SourceError, match="UTF-16; save it as UTF-8"):
        Manifest(path=str(tmp_path / "rows.csv")).open()


def test_outside_lets_rows_name_any_file(tmp_path: Path) -> None:
    """With `outside`, absolute paths and paths upwards are read."""
    (tmp_path / "far.txt").write_bytes(b"far")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/rows.jsonl").write_text('{"a": 1}')
    source = Manifest(path=str(tmp_path / "corpus/rows.jsonl"), outside=True).open()
    assert source.read("../far.txt") == source.read(str(tmp_path / "far.txt")) == b"far"


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of a manifest on a file system in memory, with a file beside it and one outside."""
    system = fsspec.filesystem("memory")
    system.pipe({"/corpus/rows.jsonl": b'{"text": "a.txt"}\n{"text": "b"}', "/corpus/a.txt": b"near", "/secret.txt": b"far"})
    yield "memory://corpus/rows.jsonl"
    system.rm("/corpus", recursive=True)
    system.rm("/secret.txt")


def test_a_remote_manifest_reads_files_beside_it(memory: str) -> None:
    """Rows and files come through fsspec where the path is a URL."""
    source = Manifest(path=memory).open()
    assert [source[number].columns["text"] for number in (1, 0)] == ["b", "a.txt"]
    assert source.read("a.txt") == b"near"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.txt", "path leads outside of the corpus"),
        ("/secret.txt", "path leads outside of the corpus"),
        ("memory://secret.txt", "path is a URL"),
        ("none.txt", "file is missing"),
    ],
)
def test_a_remote_manifest_keeps_to_its_folder(memory: str, path: str, reason: str) -> None:
    """Whatever a row says, nothing outside of the folder is fetched."""
    with pytest.raises(RecordError) as caught:
        Manifest(path=memory).open().read(path)
    assert caught.value.reason == reason


@pytest.mark.parametrize("url", ["memory://corpus/none.jsonl", "nosuchprotocol://corpus/rows.jsonl"])
def test_a_remote_manifest_that_cannot_be_opened_is_named(url: str) -> None:
    """The error holds the URL."""
    with pytest.raises(SourceError, match=url):
        Manifest(path=url).open()


def test_a_file_url_is_a_local_manifest(tmp_path: Path) -> None:
    """A file:// URL is guarded like a path: links that lead outside are refused."""
    (tmp_path / "corpus").mkdir()
    (tmp_path / "far.txt").write_bytes(b"far")
    (tmp_path / "corpus/link.txt").symlink_to(tmp_path / "far.txt")
    (tmp_path / "corpus/rows.jsonl").write_text('{"a": 1}')
    with pytest.raises(RecordError, match="outside"):
        Manifest(path=f"file://{tmp_path}/corpus/rows.jsonl").open().read("link.txt")


def test_the_type_chooses_the_source() -> None:
    """In a recipe, `type` says which source it is, and another one's options are refused."""
    sources: TypeAdapter[AnySource] = TypeAdapter(AnySource)
    assert sources.validate_python({"type": "manifest", "path": "a.csv"}) == Manifest(path="a.csv")
    assert sources.validate_python({"type": "files", "path": "a"}) == Files(path="a")
    with pytest.raises(ValueError, match="pattern"):
        sources.validate_python({"type": "manifest", "path": "a.csv", "pattern": "{key}"})
