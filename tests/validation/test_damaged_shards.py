"""Damage to the bytes, the index and the files of a dataset is found and named."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mmdata.shards.tar import header
from mmdata.validation.checks import validate
from tests.validation.damage import (
    INDEX,
    TRAIN,
    VAL,
    Damage,
    Named,
    append,
    assert_found,
    endless,
    exchange,
    indexed,
    rewritten,
    start_of,
    truncate,
)
from tests.validation.datasets import flip, overwrite, repack, seal, with_value

J, T = "json", "tokens.npy"
DAMAGE: dict[str, tuple[Damage, Named]] = {
    "bit in a header": (lambda out: flip(out / TRAIN, 3), ("blocks", TRAIN, "row-000", "flac")),
    "bit in a header, sealed": (lambda out: (flip(out / TRAIN, 110), seal(out)), ("blocks", TRAIN, "row-000", "flac")),
    "bit in a header further on": (
        lambda out: flip(out / TRAIN, start_of(out, 2, "png") - 500),
        ("blocks", TRAIN, "row-002", "png"),
    ),
    "a header that says 8 GiB": (
        lambda out: (overwrite(out / TRAIN, 0, header("row-000.flac", (1 << 33) - 1)), seal(out)),
        ("blocks", TRAIN, "row-000", "flac"),
    ),
    "bit in a payload": (lambda out: flip(out / TRAIN, start_of(out, 1, "png") + 99), ("places", TRAIN, "row-001", "png")),
    "bit in a payload, sha256 too": (
        lambda out: flip(out / TRAIN, start_of(out, 1, "png") + 99),
        ("checksums", TRAIN, None, None),
    ),
    "bit in a padding": (
        lambda out: flip(out / TRAIN, start_of(out, 3, "txt") + 500),
        ("blocks", TRAIN, "row-003", "txt"),
    ),
    "bit in the end blocks": (lambda out: overwrite(out / TRAIN, -700, b"x"), ("blocks", TRAIN, None, None)),
    "last bytes gone": (lambda out: truncate(out, -1), ("blocks", TRAIN, None, None)),
    "one end block gone": (lambda out: truncate(out, -512), ("blocks", TRAIN, None, None)),
    "both end blocks gone": (lambda out: truncate(out, -1024), ("blocks", TRAIN, None, None)),
    "cut in a payload": (
        lambda out: truncate(out, start_of(out, 3, "json") + 10),
        ("blocks", TRAIN, "row-003", "json"),
    ),
    "cut in a header": (
        lambda out: truncate(out, start_of(out, 3, "json") - 100),
        ("members", TRAIN, "row-003", None),
    ),
    "cut in a header, the member": (
        lambda out: truncate(out, start_of(out, 3, "json") - 100),
        ("places", TRAIN, "row-003", "json"),
    ),
    "cut to nothing": (lambda out: truncate(out, 0), ("places", TRAIN, "row-000", None)),
    "more zeros at the end": (lambda out: append(out, TRAIN, bytes(512)), ("blocks", TRAIN, None, None)),
    "something after the end": (lambda out: append(out, TRAIN, b"more"), ("checksums", TRAIN, None, None)),
    "a page of zeros": (
        lambda out: overwrite(out / TRAIN, start_of(out, 1, "flac") - 512, bytes(4096)),
        ("blocks", TRAIN, "row-001", "flac"),
    ),
    "an index with another place": (
        indexed(lambda table: with_value(table, "png.offset", 1, 512)),
        ("places", TRAIN, "row-001", "png"),
    ),
    "an index with another size": (
        indexed(lambda table: with_value(table, "png.size", 1, 99)),
        ("places", TRAIN, "row-001", "png"),
    ),
    "an index with another crc32": (
        indexed(lambda table: with_value(table, "png.crc32", 1, 99)),
        ("places", TRAIN, "row-001", "png"),
    ),
    "an index with other metadata": (
        indexed(lambda table: with_value(table, "metadata.number", 1, 99)),
        ("agreement", TRAIN, "row-001", J),
    ),
    "an index with another width": (
        indexed(lambda table: with_value(table, "image.width", 1, 99)),
        ("measures", TRAIN, "row-001", "png"),
    ),
    "an index with a null": (
        indexed(lambda table: with_value(table, "group", 1, None)),
        ("index", INDEX, None, None),
    ),
    "an index without a column": (
        indexed(lambda table: table.drop_columns(["group"])),
        ("index", INDEX, None, None),
    ),
    "an index with a row less": (indexed(lambda table: table.slice(1)), ("places", TRAIN, "row-000", None)),
    "an index of another split": (
        indexed(lambda table: with_value(table, "split", 1, "val")),
        ("agreement", INDEX, "row-001", None),
    ),
    "an index that is no Parquet": (
        lambda out: (out / "index/train-000000.parquet").write_bytes(b"PAR1 no"),
        ("index", INDEX, None, None),
    ),
    "an index with more rows than any file could hold": (
        lambda out: (out / INDEX).write_bytes(endless("row")),
        ("index", INDEX, None, None),
    ),
    "a bit in an index": (
        lambda out: flip(out / "index/val-000000.parquet", 40),
        ("checksums", "index/val-000000.parquet", None, None),
    ),
    "a shard gone": (lambda out: (out / TRAIN).unlink(), ("files", TRAIN, None, None)),
    "a shard that is a pipe": (lambda out: ((out / TRAIN).unlink(), os.mkfifo(out / TRAIN)), ("files", TRAIN, None, None)),
    "an index that is a pipe": (lambda out: ((out / INDEX).unlink(), os.mkfifo(out / INDEX)), ("files", INDEX, None, None)),
    "an index gone": (
        lambda out: (out / "index/train-000000.parquet").unlink(),
        ("files", INDEX, None, None),
    ),
    "an artifact gone": (
        lambda out: (out / "artifacts/tokenizer.json").unlink(),
        ("files", "artifacts/tokenizer.json", None, None),
    ),
    "another artifact": (
        lambda out: append(out, "artifacts/tokenizer.json", b"\n"),
        ("checksums", "artifacts/tokenizer.json", None, None),
    ),
    "the rejects gone": (lambda out: (out / "rejects.parquet").unlink(), ("files", "rejects.parquet", None, None)),
    "shards exchanged": (
        exchange,
        ("checksums", TRAIN, None, None),
    ),
    "a shard too many": (
        lambda out: shutil.copy(out / VAL, out / "val-000001.tar"),
        ("files", "val-000001.tar", None, None),
    ),
    "a foreign file": (rewritten("notes.txt", "x"), ("files", "notes.txt", None, None)),
    "a foreign file among the indexes": (
        rewritten("index/x.parquet", "x"),
        ("files", "index/x.parquet", None, None),
    ),
    "a temporary file": (
        rewritten(".train-000000.tar.7.tmp", "x"),
        ("files", ".train-000000.tar.7.tmp", None, None),
    ),
    "a foreign file of two lines": (rewritten("a\nb", "x"), ("files", "a\\nb", None, None)),
    "a build left over": (lambda out: (out / ".build").mkdir(), ("files", ".build", None, None)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(out: Path, name: str) -> None:
    """The finding names the check, the file, the record and the member."""
    assert_found(out, *DAMAGE[name])


def test_a_damaged_header_loses_no_other_member(out: Path) -> None:
    """Reading goes on at the next place in the index: all records are still looked at."""
    flip(out / TRAIN, start_of(out, 0, "png") - 500)
    report = validate(out)
    items = {check.name: check.items for check in report.checks}
    assert items["json"] == 10
    assert items["places"] == 60
    assert {one.check for one in report.findings} == {"checksums", "blocks"}


def test_a_shard_without_its_index_is_read_all_the_same(out: Path) -> None:
    """Without the index every record is still checked, and the account of rows is drawn from the records."""
    (out / "index/train-000000.parquet").unlink()
    report = validate(out)
    assert {one.check for one in report.findings} == {"files"}
    assert {check.name: check.items for check in report.checks}["json"] == 10


def test_shards_are_checked_without_a_description(out: Path) -> None:
    """Where dataset.json is damaged, the shards in the folder are still compared with their indexes."""
    flip(out / TRAIN, start_of(out, 1, "png") + 99)
    (out / "dataset.json").write_text("{", encoding="utf-8")
    found = {(one.check, one.file, one.record, one.member) for one in validate(out).findings}
    assert ("description", "dataset.json", None, None) in found
    assert ("places", TRAIN, "row-001", "png") in found


def test_a_table_that_cannot_be_true_is_not_read(out: Path) -> None:
    """A few kilobytes may stand for any number of rows: they are counted before one is read."""
    (out / INDEX).write_bytes(endless("row"))
    found = [one.message for one in validate(out).findings if one.check == "index"]
    assert len(found) == 1
    assert "1000000 rows" in found[0]


def test_a_record_without_end_is_not_held_in_memory(out: Path) -> None:
    """Of the members of one record no more are kept than it may have, and one."""
    size = 2 << 20
    repack(out, TRAIN, lambda members: [(f"row-000.x{number:03d}", bytes(size)) for number in range(40)] + members[6:])
    tracemalloc.start()
    report = validate(out)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ("members", TRAIN, "row-000") in {(one.check, one.file, one.record) for one in report.findings}
    assert peak < 20 * size


@pytest.mark.parametrize("seed", range(6))
def test_no_damage_raises(out: Path, seed: int) -> None:
    """Random bytes anywhere, with every checksum adapted, end in findings and never in an exception."""
    rng = np.random.default_rng(seed)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix in {".tar", ".parquet", ".json"})
    for _ in range(12):
        path = files[int(rng.integers(len(files)))]
        overwrite(path, int(rng.integers(path.stat().st_size)), rng.bytes(int(rng.integers(1, 9))))
    assert not validate(out).ok
