"""The guard around the corpus: which paths are read, and which are refused for which reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmdata.errors import RecordError
from mmdata.sources.folder import LocalFolder, RemoteFolder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus with links of every kind, and a file outside."""
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "corpus-2").mkdir()
    (tmp_path / "corpus-2/a.txt").write_bytes(b"secret")
    folder = tmp_path / "corpus"
    (folder / "below").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"a")
    (folder / "inside.txt").symlink_to("a.txt")
    (folder / "outside.txt").symlink_to("../secret.txt")
    (folder / "up").symlink_to("..")
    (folder / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(folder / "pipe.txt")
    return folder


@pytest.mark.parametrize("path", ["a.txt", "./a.txt", "below/../a.txt", "inside.txt", "../corpus/a.txt", "up/corpus/a.txt"])
def test_paths_that_end_inside_are_read(corpus: Path, path: str) -> None:
    """What counts is where a path leads in the end, links resolved."""
    assert LocalFolder(corpus, 1000).read(path) == b"a"


def test_a_corpus_may_itself_be_a_link(corpus: Path, tmp_path: Path) -> None:
    """The folder's own path may go through links."""
    (tmp_path / "link").symlink_to(corpus)
    assert LocalFolder(tmp_path / "link", 1000).read("a.txt") == b"a"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.txt", "path leads outside of the corpus"),
        ("../corpus-2/a.txt", "path leads outside of the corpus"),
        ("/etc/passwd", "path leads outside of the corpus"),
        ("outside.txt", "path leads outside of the corpus"),
        ("up/secret.txt", "path leads outside of the corpus"),
        ("../no such file", "path leads outside of the corpus"),
        ("none.txt", "file is missing"),
        ("a.txt/below", "file is missing"),
        ("loop.txt", "file cannot be read"),
        ("x" * 300, "file cannot be read"),
        ("below", "path is not a file"),
        ("", "path is empty"),
        (".", "path is not a file"),
        ("a.txt\x00.jpg", "path has control characters"),
        ("a\n.txt", "path has control characters"),
        ("\ud800.txt", "path is not valid Unicode"),
        ("http://example.org/a.jpg", "path is a URL"),
        ("FILE:///etc/passwd", "path is a URL"),
    ],
)
def test_other_paths_are_refused_with_a_reason(corpus: Path, path: str, reason: str) -> None:
    """Each way to be wrong has a reason of its own."""
    with pytest.raises(RecordError) as caught:
        LocalFolder(corpus, 1000).read(path)
    assert caught.value.reason == reason


def test_a_pipe_is_refused_and_not_waited_for(corpus: Path) -> None:
    """What is no plain file is never opened, since that could wait for ever."""
    with pytest.raises(RecordError, match="path is not a file"):
        LocalFolder(corpus, 1000, outside=True).read("pipe.txt")


def test_a_path_for_a_web_server_is_quoted() -> None:
    """Percent signs and question marks in a path are characters of a name, so that %2e%2e cannot lead upwards."""
    asked = []

    class Web:
        protocol = ("http", "https")

        def cat_file(self, url: str) -> bytes:
            asked.append(url)
            return b"a"

    RemoteFolder(Web(), "https://example.org/corpus").read("a b/%2e%2e/c?d.jpg")
    assert asked == ["https://example.org/corpus/a%20b/%252e%252e/c%3Fd.jpg"]
