"""The source `files`: which files make a row, which are left out, and in which order rows come."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from mmdata.errors import RecordError, SourceError
from mmdata.sources.files import Files, FilesSource


def opened(folder: Path, *paths: str, pattern: str | None = None) -> FilesSource:
    """Open a folder with these files."""
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())
    return Files(path=str(folder), pattern=pattern).open()


def rows(source: FilesSource) -> dict[str, dict[str, str]]:
    """Return all rows: key to columns."""
    found = [source[number] for number in range(len(source))]
    return {row.key: dict(row.columns) for row in found}


def test_files_of_one_stem_make_a_row(tmp_path: Path) -> None:
    """The key is the path without its last extension; the columns are the extensions in small letters."""
    source = opened(tmp_path, "a.JPG", "a.txt", "below/a.jpg", "b.tar.gz")
    assert rows(source) == {
        "a": {"jpg": "a.JPG", "txt": "a.txt"},
        "b.tar": {"gz": "b.tar.gz"},
        "below/a": {"jpg": "below/a.jpg"},
    }
    assert source.read("below/a.jpg") == b"below/a.jpg"


def test_rows_come_in_the_order_of_code_points(tmp_path: Path) -> None:
    """The order does not depend on the file system or the locale."""
    source = opened(tmp_path, "b.txt", "B.txt", "é.txt", "a/z.txt", "a.txt", "10.txt", "9.txt")
    assert list(rows(source)) == ["10", "9", "B", "a", "a/z", "b", "é"]


def test_two_files_for_one_column_are_a_record_error(tmp_path: Path) -> None:
    """Extensions that differ only in capitals spoil their row, and no other."""
    source = opened(tmp_path, "a.jpg", "a.JPG", "b.jpg")
    with pytest.raises(RecordError) as caught:
        source[0]
    assert caught.value.reason == "two files have the same key and column"
    assert "'a.JPG' and 'a.jpg'" in caught.value.detail
    assert source[1].key == "b"


def test_what_makes_no_row_is_listed(tmp_path: Path) -> None:
    """Hidden files, what systems leave behind, and files without an extension are named, not lost."""
    left = [".hidden.jpg", "README", "desktop.ini", "below/Thumbs.db", "no."]
    source = opened(tmp_path, "a.jpg", ".git/config.txt", "__MACOSX/a.jpg", *left)
    assert list(rows(source)) == ["a"]
    assert source.left_out == tuple(sorted([".git/", "__MACOSX/", *left]))


def test_links_to_folders_are_left_out(tmp_path: Path) -> None:
    """A link that leads round in a circle, or outside, is not followed."""
    corpus, far = tmp_path / "corpus", tmp_path / "far"
    far.mkdir()
    (far / "b.jpg").write_bytes(b"")
    corpus.mkdir()
    (corpus / "circle").symlink_to(corpus)
    (corpus / "far").symlink_to(far)
    source = opened(corpus, "a.jpg")
    assert list(rows(source)) == ["a"]
    assert source.left_out == ("circle/", "far/")


def test_links_to_files_are_rows_and_guarded_at_reading(tmp_path: Path) -> None:
    """A link to a file makes a row; one that leads outside, nowhere or to itself cannot be read."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (tmp_path / "secret.txt").write_bytes(b"")
    (corpus / "nowhere.txt").symlink_to("none")
    (corpus / "outside.txt").symlink_to("../secret.txt")
    (corpus / "self.txt").symlink_to("self.txt")
    source = opened(corpus, "a.txt")
    reasons = []
    for name in ("nowhere", "outside", "self"):
        with pytest.raises(RecordError) as caught:
            source.read(rows(source)[name]["txt"])
        reasons.append(caught.value.reason)
    assert reasons == ["file is missing", "path leads outside of the corpus", "file cannot be read"]


def test_pipes_are_left_out(tmp_path: Path) -> None:
    """What is no plain file makes no row."""
    os.mkfifo(tmp_path / "b.jpg")
    assert opened(tmp_path, "a.jpg").left_out == ("b.jpg",)


def test_a_name_that_is_not_utf_8_is_a_record_error(tmp_path: Path) -> None:
    """Such a file spoils its row, and the build goes on."""
    (tmp_path / os.fsdecode(b"b\xff.jpg")).write_bytes(b"")
    source = opened(tmp_path, "a.jpg")
    with pytest.raises(RecordError) as caught:
        source[1]
    assert caught.value.reason == "file name is not UTF-8"
    assert source[0].key == "a"


def test_a_pattern_gives_key_column_and_metadata(tmp_path: Path) -> None:
    """Names other than key and column become columns of text; what does not match is left out."""
    paths = ["anna/01.wav", "anna/01.TXT", "ben/02.wav", "notes.txt"]
    source = opened(tmp_path, *paths, pattern="{speaker}/{key}.{column}")
    assert rows(source) == {
        "01": {"speaker": "anna", "wav": "anna/01.wav", "txt": "anna/01.TXT"},
        "02": {"speaker": "ben", "wav": "ben/02.wav"},
    }
    assert source.left_out == ("notes.txt",)


def test_a_pattern_joins_trees_beside_each_other(tmp_path: Path) -> None:
    """Folders may be the columns, with further folders in the key."""
    source = opened(tmp_path, "image/x/1.jpg", "image/x/2.png", "text/x/1.txt", pattern="{column}/{key:path}.*")
    assert rows(source) == {"x/1": {"image": "image/x/1.jpg", "text": "text/x/1.txt"}, "x/2": {"image": "image/x/2.png"}}


def test_without_a_key_in_the_pattern_its_names_make_it(tmp_path: Path) -> None:
    """So that numbers which begin anew in each folder stay apart."""
    source = opened(tmp_path, "anna/1.wav", "ben/1.wav", pattern="{speaker}/{number}.wav")
    assert rows(source) == {
        "anna/1": {"speaker": "anna", "number": "1", "wav": "anna/1.wav"},
        "ben/1": {"speaker": "ben", "number": "1", "wav": "ben/1.wav"},
    }


def test_equal_keys_with_other_names_are_rows_of_their_own(tmp_path: Path) -> None:
    """They are not merged; that the key comes twice is for the plan to say."""
    source = opened(tmp_path, "ben/1.wav", "anna/1.wav", pattern="{speaker}/{key}.wav")
    assert [source[number].columns["speaker"] for number in range(len(source))] == ["anna", "ben"]


def test_a_name_of_the_pattern_does_not_hide_a_file(tmp_path: Path) -> None:
    """A name that is also the column of a file spoils the row."""
    with pytest.raises(RecordError, match="same key and column"):
        opened(tmp_path, "x/a.wav", pattern="{wav}/{key}.wav")[0]


@pytest.mark.parametrize("pattern", ["{column}/*.jpg", "*.jpg", "{key", "key}", "{}", "{a b}", "***/{key}", "{key:int}"])
def test_a_pattern_that_cannot_be_used_is_refused(pattern: str) -> None:
    """It is refused with the recipe, before any folder is read."""
    with pytest.raises(ValidationError, match="pattern"):
        Files(path="corpus", pattern=pattern)


def test_its_columns_are_files() -> None:
    """Texts, too, are files here, whereas a manifest's columns hold them."""
    assert Files(path="corpus").columns_are_files


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    """The error names what was left out."""
    with pytest.raises(SourceError, match=r"no file that makes a row; .*left out: README"):
        opened(tmp_path, "README")


@pytest.mark.parametrize(("path", "found"), [("a.jpg", "is not a folder"), ("s3://bucket/corpus", "folders of this machine")])
def test_what_is_no_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, found: str) -> None:
    """A file and a URL are told apart in the error."""
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").write_bytes(b"")
    with pytest.raises(SourceError, match=found):
        Files(path=path).open()
