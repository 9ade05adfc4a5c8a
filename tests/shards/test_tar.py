"""Shards are plain USTAR files with every free field fixed."""

from __future__ import annotations

import hashlib
import tarfile
from io import BytesIO

import pytest

from mmdata.shards.tar import END, TarWriter, header, padding


def test_other_readers_see_the_same_members() -> None:
    """Python's tarfile finds names, sizes and contents, with every free field fixed."""
    members = {"a.jpg": b"x" * 700, "a.txt": b"", "b.jpg": b"y" * 512}
    sink = BytesIO()
    tar = TarWriter(sink)
    offsets = [tar.add(name, payload) for name, payload in members.items()]
    digest = tar.finish()
    content = sink.getvalue()
    assert hashlib.sha256(content).hexdigest() == digest
    with tarfile.open(fileobj=BytesIO(content)) as read:
        infos = read.getmembers()
        assert {info.name: read.extractfile(info).read() for info in infos} == members  # type: ignore[union-attr]
    assert [info.offset_data for info in infos] == offsets
    assert {(info.mode, info.uid, info.gid, info.mtime, info.uname, info.gname) for info in infos} == {(0o644, 0, 0, 0, "", "")}


def test_file_ends_with_two_zero_blocks_and_no_more() -> None:
    """After the last payload and its padding stand exactly 1,024 zero bytes."""
    sink = BytesIO()
    tar = TarWriter(sink)
    offset = tar.add("a.txt", b"abc")
    tar.finish()
    content = sink.getvalue()
    assert content[offset + 3 :] == bytes(padding(3)) + END
    assert len(content) == offset + 512 + 1024


def test_names_that_do_not_fit_are_refused() -> None:
    """A name that USTAR cannot hold, or that is not ASCII, is an error and not a truncation."""
    with pytest.raises(ValueError, match="name is too long"):
        header("k" * 101, 1)
    with pytest.raises(UnicodeEncodeError):
        header("ü.txt", 1)
