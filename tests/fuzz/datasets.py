"""Targets that read a dataset folder: its description, its indexes, its tars, and the json member of its records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mmdata.codec import METADATA_MEMBER
from mmdata.dataset import Dataset
from mmdata.errors import DatasetError, RecordError
from mmdata.files import canonical_json, digest_of_json
from mmdata.loader import LoaderOptions
from mmdata.loader.records import ShardedRecords
from mmdata.validation.cards import card
from mmdata.validation.checks import validate
from mmdata.validation.description import read_promises
from mmdata.validation.findings import Ledger, Notes
from mmdata.validation.folder import check_folder
from mmdata.validation.inspection import inspected
from mmdata.validation.overview import overview
from mmdata.validation.samples import Sample
from mmdata.validation.shard import check_shard
from tests.fuzz.target import Reader, Target
from tests.validation.datasets import make_dataset

_SHARD = "val-000000"


def _sealed(data: bytes) -> bytes:
    """Give a description that is JSON its right checksum: whoever changes it on purpose does so too."""
    try:
        found = json.loads(data)
        found.pop("checksum", None)
        return canonical_json({**found, "checksum": digest_of_json(found)}).encode()
    except (ValueError, AttributeError, RecursionError, TypeError):
        return data


def _description(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    """Opens a folder by its description, reads a record of every shard, sums it up, and validates it."""
    out = make_dataset(folder / "out")
    path = out / "dataset.json"

    def read(data: bytes) -> None:
        path.write_bytes(_sealed(data))
        report = validate(out)
        assert report.ok or report.findings
        dataset = Dataset(out)
        assert all((out / shard.file).parent == out for shard in dataset.shards), "a shard outside of the folder"
        overview(dataset)
        for shard in dataset.shards:
            len(dataset.index(shard))

    return read, [path.read_bytes()]


def _index(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    """Reads records through the index, by random access and by the loader, and validates the folder."""
    return _shard_file(folder, f"index/{_SHARD}.parquet")


def _tar(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    """Reads the records of a damaged tar: each is as it was written, or an error; validation finds the damage."""
    return _shard_file(folder, f"{_SHARD}.tar")


def _shard_file(folder: Path, file: str) -> tuple[Reader, Sequence[bytes]]:
    """Replaces a file of a shard: validation finds that, and what can be read all the same is what was written."""
    out = make_dataset(folder / "out")
    path = out / file
    whole, seed = list(Dataset(out).payloads("val")), path.read_bytes()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        assert _is_whole(out) == (data == seed)
        for found in _read_all(out):
            assert found in whole, "a record that was never written"

    return read, [seed]


def _is_whole(out: Path) -> bool:
    """Whether validation finds nothing wrong with the shard, its index included."""
    ledger, notes = Ledger(), Notes(Ledger(), "dataset.json")
    promised = read_promises(out, notes)
    shard = next(one for one in promised.shards if one.file == f"{_SHARD}.tar")
    check_folder(out, promised, replace(notes, ledger=ledger))
    found, _ = check_shard(out, shard, promised)
    return not (ledger.errors or found.errors)


def _read_all(out: Path) -> Iterator[dict[str, bytes]]:
    """Yield the payloads of every record that can be read, the ways that a program and a training run read them."""
    records = ShardedRecords(out, "val", LoaderOptions())
    for number in range(len(records)):
        try:
            records[number]
        except RecordError:
            continue
    try:
        yield from Dataset(out).payloads("val")
    except DatasetError:
        return


def _json_member(folder: Path) -> tuple[Reader, Sequence[bytes]]:
    """Decodes a record whose json member says anything, and shows it as pages and commands do."""
    dataset = Dataset(make_dataset(folder / "out"))
    payloads = next(dataset.payloads())

    def read(data: bytes) -> None:
        changed = {**payloads, METADATA_MEMBER: data}
        sample = Sample(dataset.shards[0], dataset.codec.decode(changed), changed, dataset.schema, dataset.members)
        assert "<script" not in card(sample)
        json.dumps(inspected(sample))

    return read, [payload[METADATA_MEMBER] for payload in dataset.payloads()]


_WORDS = (
    b'"records":99999999999',
    b"..",
    b"/etc/passwd",
    b"null",
    b"NaN",
    b"[" * 3000,
    b"-1",
    b"1e999",
    b'"<script>"',
    b"9" * 5000,
    b"{}",
)

TARGETS = (
    Target("description", _description, _WORDS),
    Target("index", _index),
    Target("tar", _tar, (b"../x", b"ustar\0" + b"00", b"77777777777", b"\x80" + b"\xff" * 11, bytes(512))),
    Target("json-member", _json_member, (*_WORDS, b"<script>", b'\\"affine\\"', b"[[0,0,0,0]]", b'[1,"a"]', b"true")),
)
