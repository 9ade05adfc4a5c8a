"""A corpus that someone else made to do harm: every hostile row is turned away for its reason, and costs no other row."""

from __future__ import annotations

import json
import os
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from mmdata import parquet
from mmdata.dataset import Dataset
from mmdata.errors import RecordError, SourceError
from mmdata.formats import Flac
from mmdata.sources.manifest import Manifest
from mmdata.values import Audio
from tests.corpus import picture, recording
from tests.faults.hostile import PICTURES, SHOWN, STEERS, chunk, flac, mmdata, png, wav

SECRET = b"a secret of this machine"


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listener on this machine that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)  # noqa: FBT003 - the socket's own interface
        yield listener


def paths(folder: Path, port: int) -> dict[str, tuple[str, str]]:
    """Return paths that a row must not name, each with the reason; the files are made."""
    (folder.parent / "secret.png").write_bytes(SECRET)
    (folder / "link.png").symlink_to("../secret.png")
    (folder / "up").symlink_to("..")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "pipe-link.png").symlink_to("pipe.png")
    os.mkfifo(folder / "pipe.png")
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(1 << 42)
    leads = "path leads outside of the corpus"
    return {
        "up": ("../secret.png", leads),
        "absolute": (str(folder.parent / "secret.png"), leads),
        "link": ("link.png", leads),
        "folder-link": ("up/secret.png", leads),
        "case": ("../SECRET.PNG", leads),
        "dots": ("a/../../secret.png", leads),
        "home": ("~/secret.png", "file is missing"),
        "device": ("/dev/zero", leads),
        "device-link": ("zero.png", leads),
        "pipe": ("pipe.png", "path is not a file"),
        "pipe-link": ("pipe-link.png", "path is not a file"),
        "sparse": ("sparse.png", "file is too large"),
        "file-url": (f"file://{folder.parent}/secret.png", "path is a URL"),
        "web": (f"http://127.0.0.1:{port}/a.png", "path is a URL"),
        "chained": (f"simplecache::http://127.0.0.1:{port}/a.png", "file is missing"),
        "nul": ("a.png\0.jpg", "path has control characters"),
        "escape": (f"{SHOWN}.png", "path has control characters"),
    }


def rows_of(folder: Path, port: int) -> dict[str, tuple[dict[str, Any], str]]:
    """Return hostile rows by key, each with the reason for which it must be turned away; their files are written."""
    rows: dict[str, tuple[dict[str, Any], str]] = {}
    for name, (path, reason) in paths(folder, port).items():
        rows[f"path-{name}"] = {"image": path}, reason
    for name, (data, reason) in PICTURES.items():
        (folder / name).write_bytes(data)
        rows[name] = {"image": name}, reason
    small = Flac().encode(Audio(np.zeros((1, 800), np.float32), 8000))
    sounds = {
        "huge.wav": (wav(0x7FFE0000), "recording is truncated"),
        "fast.wav": (wav(4, rate=0), "recording is damaged"),
        "long.flac": (flac(small, (1 << 36) - 1, 8000, 1), "recording is too long"),
        "wide.flac": (flac(small, 3599 * 655350, 655350, 8), "recording has too many samples"),
    }
    for name, (data, reason) in sounds.items():
        (folder / name).write_bytes(data)
        rows[name] = {"audio": name}, reason
    (folder / "good.wav").write_bytes(recording(1))
    hours = "9" * 5000
    rows["hours"] = {"audio": "good.wav", "words": f"{hours}:00:00,000 --> {hours}:00:01,000\nx"}, "subtitles are malformed"
    return rows


def build(folder: Path, rows: list[str], *options: str) -> tuple[Path, Any]:
    """Build a dataset of a manifest's lines; return the folder and the process."""
    (folder / "manifest.jsonl").write_text("\n".join(rows), encoding="utf-8")
    recipe = {
        "name": "hostile",
        "source": {"type": "manifest", "path": "manifest.jsonl", "key": "key"},
        "fields": {"image": {"kind": "image"}, "audio": {"kind": "audio", "segments": "words"}, "text": {"kind": "text"}},
        "stages": ["image.decode", "audio.decode"],
        "max_rejects": 1000,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder.parent / "out", mmdata("build", folder / "recipe.yaml", folder.parent / "out", "--workers", "1", *options)


def test_every_hostile_row_is_turned_away_for_its_reason(tmp_path: Path, server: socket.socket) -> None:
    """Paths, links, pipes, devices, URLs, bombs and lies in headers: a reason each, in bounded memory; other rows are built."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    hostile = rows_of(folder, server.getsockname()[1])
    (folder / "good.png").write_bytes(picture(1))
    lines = [json.dumps({"key": key, "text": "a text", **row}) for key, (row, _) in hostile.items()]
    lines.insert(7, json.dumps({"key": "good", "image": "good.png", "audio": "good.wav", "text": SHOWN}))
    lines += ["[" * 100_000, '{"key": "deep", "text": ' + "[" * 90 + "]" * 90 + "}", json.dumps({"key": SHOWN, "image": "none"})]
    out, done = build(folder, lines)
    assert done.returncode == 0, done.stderr
    rejects = {row["key"]: row["reason"] for row in Dataset(out).rejects()}
    assert {key: rejects.get(key) for key in hostile} == {key: reason for key, (_, reason) in hostile.items()}
    assert [record.key for record in Dataset(out)] == ["good"]
    assert SECRET not in b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert not STEERS.search(done.stdout + done.stderr)
    with pytest.raises(BlockingIOError):
        server.accept()
    assert mmdata("validate", out).returncode == 0


def test_names_in_a_profile_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """Warnings of libpng print the name of a broken profile, which may steer the terminal; it never sees it."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    profile = b"\x1b]0;pwned\x07\0\0" + zlib.compress(np.random.default_rng(0).bytes(400))
    (folder / "a.png").write_bytes(png(extra=chunk(b"iCCP", profile)))
    out, done = build(folder, [json.dumps({"key": "a", "image": "a.png", "audio": None, "text": "a", "words": None})])
    assert done.returncode == 0, done.stderr
    assert len(Dataset(out)) == 1
    assert "pwned" not in done.stdout + done.stderr


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty", "pipe"])
def test_devices_and_pipes_are_no_files_where_rows_may_lead_outside(tmp_path: Path, path: str) -> None:
    """`source.outside` lets rows name other files, never what has no end or would wait."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "rows.csv").write_text("path\na\n")
    with pytest.raises(RecordError, match="path is not a file"):
        Manifest(path=str(tmp_path / "rows.csv"), outside=True).open().read(path)


def test_a_manifest_is_no_pipe_and_no_device(tmp_path: Path) -> None:
    """The manifest itself must be a plain file."""
    os.mkfifo(tmp_path / "rows.csv")
    for path in (tmp_path / "rows.csv", Path("/dev/zero")):
        with pytest.raises(SourceError, match="is not a file"):
            Manifest(path=str(path), format="csv").open()


def test_a_larger_file_may_be_allowed(tmp_path: Path) -> None:
    """`max_bytes` is the size from which a file is refused."""
    (tmp_path / "rows.csv").write_text("path\na\n")
    (tmp_path / "a").write_bytes(bytes(100))
    assert len(Manifest(path=str(tmp_path / "rows.csv"), max_bytes=100).open().read("a")) == 100
    with pytest.raises(RecordError, match=r"file is too large.*source\.max_bytes = 99"):
        Manifest(path=str(tmp_path / "rows.csv"), max_bytes=99).open().read("a")


def test_a_manifest_cannot_promise_rows_without_end(tmp_path: Path) -> None:
    """A Parquet file of some bytes with millions of rows is refused before they are listed."""
    table = pa.table({"path": pa.array(np.zeros(3 << 20, np.int8))})
    pq.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(SourceError, match="rows cannot stand in"):
        Manifest(path=str(tmp_path / "rows.parquet")).open()


def test_a_value_that_repeats_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that unfold to more than the limit are turned away, however small the file is."""
    monkeypatch.setattr(parquet, "MOST_BYTES", 1 << 26)
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1 << 14, np.int32)), pa.array(["x" * 10_000]))
    pq.write_table(pa.table({"text": text}), tmp_path / "rows.parquet", store_schema=False, compression="zstd")
    assert (tmp_path / "rows.parquet").stat().st_size < 10_000
    with pytest.raises(RecordError, match="unfolds to more than"):
        Manifest(path=str(tmp_path / "rows.parquet")).open()[0]
