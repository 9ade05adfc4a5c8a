"""A dataset folder that someone else made to do harm: nothing in it is run, nothing outside is read or written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmdata.builder import build
from mmdata.dataset import Dataset
from mmdata.errors import DatasetError, MmdataError, RecordError
from mmdata.formats import Flac, format_of
from mmdata.loader import Loader, LoaderOptions
from mmdata.loader.decoding import decoder_of
from mmdata.schema import FieldType
from mmdata.shards.index import ShardIndex, parquet_bytes
from mmdata.train.checkpoint import CHECKPOINT
from mmdata.validation.checks import validate
from mmdata.values import Audio
from tests.faults.hostile import Bomb, flac, gif, mmdata, npy, pickled, png, tiff, webp
from tests.validation.datasets import edit, make_dataset, rewrite_index, seal, with_value


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A whole dataset to make hostile."""
    return make_dataset(tmp_path / "dataset")


SHARD = "val-000000.tar"


def _first(out: Path, **changes: object) -> None:
    edit(out, lambda data: data["shards"]["val"][0].update(changes))


DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a shard above the folder": lambda data: data["shards"]["val"][0].update(file="../secret.tar"),
    "a shard by an absolute path": lambda data: data["shards"]["val"][0].update(file="/etc/passwd"),
    "a shard with a line break": lambda data: data["shards"]["val"][0].update(file="val-000000.tar\n"),
    "fewer than no records": lambda data: data["shards"]["val"][0].update(records=-1),
    "records that are a list": lambda data: data["shards"]["val"][0].update(records=[3]),
    "a member that leads outside": lambda data: data["members"].update({"/../../x.txt": "text"}),
    "a member of no format": lambda data: data["members"].update({"exe": "text"}),
    "a field of no kind": lambda data: data["schema"]["fields"]["text"].update(kind="code"),
    "a schema that is a list": lambda data: data.update(schema=[]),
    "shards that are a number": lambda data: data.update(shards=3),
    "another split": lambda data: data["shards"].update({"../x": []}),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_decides_over_its_own_folder_only(out: Path, name: str) -> None:
    """Its checksum proves nothing: names, counts and kinds are checked before a file is opened."""
    edit(out, DESCRIPTIONS[name])
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        Dataset(out)
    assert not validate(out).ok


@pytest.mark.parametrize("file", ["dataset.json", SHARD, "index/val-000000.parquet", "rejects.parquet"])
def test_pipes_in_the_folder_are_not_waited_for(out: Path, file: str) -> None:
    """A pipe where a file must be is an error of every command."""
    (out / file).unlink()
    os.mkfifo(out / file)
    assert mmdata("validate", out).returncode in {1, 2}
    assert mmdata("inspect", out, "row-007").returncode == (0 if file == "rejects.parquet" else 2)
    if file != SHARD:  # no shard is read to sum the folder up
        assert mmdata("stats", out).returncode == 2


@pytest.mark.parametrize(
    ("column", "value"), [("png.size", 1 << 45), ("png.size", -1), ("png.offset", -512), ("png.offset", 1 << 62)]
)
def test_an_index_cannot_ask_for_more_than_the_shard_has(out: Path, column: str, value: int) -> None:
    """Sizes and places are held to the file before memory is taken for them, by random access and by the loader."""
    rewrite_index(out, SHARD, lambda table: with_value(table, column, 1, value))
    seal(out)
    _first(out, bytes=1 << 62)
    with pytest.raises(DatasetError, match="the file does not reach"):
        list(Dataset(out).payloads("val"))
    with contextlib.suppress(MmdataError):
        assert sum(len(batch.keys) for batch in Loader(out, split="val", batch_size=2)) == 2
    assert not validate(out).ok


def test_an_index_cannot_make_payloads_vanish(out: Path) -> None:
    """A record whose members all are empty by the index, but not by their checksums, is no record without fields."""
    extensions = Dataset(out).members

    def emptied(table: pa.Table) -> pa.Table:
        for extension in extensions:
            table = with_value(table, f"{extension}.size", 1, 0)
        return table

    rewrite_index(out, SHARD, emptied)
    seal(out)
    with Loader(out, split="val", batch_size=2) as loader:
        for batch in loader:
            assert batch.substituted.sum() == 1
        assert [entry.reason for entry in loader.ledger] == ["payload is damaged"]


def test_an_index_names_no_file(out: Path, tmp_path: Path) -> None:
    """A build that goes on renames shards by what their indexes say: a name that leads elsewhere is no name of a task."""
    path = out / "index/val-000000.parquet"
    index = ShardIndex.read(path)
    info = json.dumps(asdict(replace(index.info, task="../../../../stolen")))
    path.write_bytes(parquet_bytes(index.table.replace_schema_metadata({b"mmdata": info})))
    assert ShardIndex.read_info(path) is None
    (out / "dataset.json").unlink()
    (out / ".build").mkdir()
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/rows.csv").write_text("key,text\na,a text\n")
    source = {"type": "manifest", "path": str(tmp_path / "corpus/rows.csv"), "key": "key"}
    with contextlib.suppress(DatasetError):
        build({"name": "small", "source": source, "fields": {"text": {"kind": "text"}}}, out, workers=1)
    assert not list(tmp_path.rglob("stolen*"))


PAYLOADS: dict[str, tuple[str, FieldType, bytes]] = {
    "a zip of arrays": ("npy", FieldType("array"), b"PK\x03\x04" + bytes(100)),
    "a huge array": ("npy", FieldType("array"), npy("(1099511627776,)")),
    "a huge array of nothing": ("npy", FieldType("array"), npy("(1099511627776,)", "|V0")),
    "a shape below zero": ("npy", FieldType("array"), npy("(-1, -4)", content=bytes(16))),
    "a shape of code": ("npy", FieldType("array"), npy("__import__('os').system('true')")),
    "a deep shape": ("npy", FieldType("array"), npy("(" * 2000)),
    "an array of objects": ("npy", FieldType("array"), npy("(1,)", "|O", b"\x80\x04N.")),
    "a huge png": ("png", FieldType("image"), png(40000, 40000)),
    "a huge webp": ("webp", FieldType("image"), webp(16384, 16384)),
    "a gif for a png": ("png", FieldType("image"), gif(4, 4)),
    "a tiff for a jpg": ("jpg", FieldType("image"), tiff(1 << 30, 1 << 30)),
    "a long flac": (
        "flac",
        FieldType("audio"),
        flac(Flac().encode(Audio(np.zeros((1, 800), np.float32), 8000)), (1 << 36) - 1, 8000, 8),
    ),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_cannot_ask_for_more_than_it_is(name: str) -> None:
    """Headers are read before memory is taken, by the library and by the loader, which substitutes the record."""
    extension, type_, payload = PAYLOADS[name]
    with pytest.raises(RecordError):
        format_of(extension).decode(payload)
    with pytest.raises(RecordError):
        decoder_of(extension, type_, LoaderOptions())(memoryview(payload))


def test_pickles_are_never_loaded(out: Path, tmp_path: Path) -> None:
    """An array of objects, and a checkpoint that is a pickle, run nothing."""
    mark = tmp_path / "mark"
    with pytest.raises(RecordError, match="plain numbers"):
        format_of("npy").decode(pickled(mark))
    with pytest.raises(RecordError, match="plain numbers"):
        decoder_of("npy", FieldType("array"), LoaderOptions())(memoryview(pickled(mark)))
    run = tmp_path / "run"
    run.mkdir()
    torch.save({"format": 1, "config": Bomb(mark)}, run / CHECKPOINT)
    done = mmdata("evaluate", run, "--data", out)
    assert done.returncode == 2
    assert done.stderr.startswith("mmdata: error:")
    assert not mark.exists()


def test_a_dataset_imports_no_code(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages of a user's own stand in recipes; a dataset that names one, or any other module, does not make us import it."""
    (tmp_path / "evil_stage.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w').close()")
    monkeypatch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}:{tmp_path}" if "PYTHONPATH" in os.environ else str(tmp_path))
    edit(out, lambda data: data["recipe"]["stages"].insert(0, {"evil_stage:Stage": {}}))
    for command in (["validate", out], ["stats", out], ["preview", out], ["inspect", out, "row-001"]):
        assert mmdata(*command).returncode == 0
    next(iter(Loader(out, split="train", batch_size=2)))
    assert not (tmp_path / "mark").exists()


def _special_tar() -> bytes:
    """Return a tar with a member that climbs, one by an absolute path, links, a device, and one of a huge stated size."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, kind, link in [
            ("../climbed.txt", tarfile.REGTYPE, ""),
            ("/tmp/absolute.txt", tarfile.REGTYPE, ""),
            ("link.txt", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard.txt", tarfile.LNKTYPE, "/etc/passwd"),
            ("device.txt", tarfile.CHRTYPE, ""),
            ("pipe.txt", tarfile.FIFOTYPE, ""),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            tar.addfile(info)
    huge = tarfile.TarInfo("huge.txt")
    huge.size, huge.mode = (1 << 33) - 1, 0o644
    return sink.getvalue()[: -20 * 512] + huge.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


def test_special_members_of_a_tar_are_findings_and_nothing_else(out: Path, tmp_path: Path) -> None:
    """Members that climb, links, devices and huge sizes are named by validation; nothing is written, nothing is followed."""
    (out / SHARD).write_bytes(_special_tar())
    before = {path for path in tmp_path.rglob("*") if "report" not in path.parts}
    done = mmdata("validate", out, "--report", tmp_path / "report")
    assert done.returncode == 1
    assert "root:" not in done.stdout
    assert {path for path in tmp_path.rglob("*") if "report" not in path.parts} == before
    assert mmdata("inspect", out, "row-007", "--export", tmp_path / "export").returncode == 2
    assert not (tmp_path / "export").exists()


def test_a_sparse_shard_does_not_fill_the_memory(out: Path) -> None:
    """A member of eight gigabytes that takes no room on the disk is a finding, and is not read."""
    info = tarfile.TarInfo("row-007.png")
    info.size, info.mode = (1 << 33) - 512, 0o644
    with (out / SHARD).open("wb") as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT))
        file.truncate((1 << 33) + 1024)
    done = mmdata("validate", out, "--json")
    assert done.returncode == 1
    assert "larger than any that can be decoded" in done.stdout
