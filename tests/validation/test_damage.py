"""Every kind of damage is found, and named by check, file, record and member as far as they can be known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmdata.shards.index import parquet_bytes
from mmdata.validation.checks import validate
from tests.validation.datasets import (
    change_inside,
    change_json,
    change_payload,
    edit,
    flip,
    overwrite,
    place_of,
    repack,
    rewrite_index,
    seal,
    with_value,
)

TRAIN, VAL = "train-000000.tar", "val-000000.tar"
Damage = Callable[[Path], None]
Named = tuple[str, str, str | None, str | None]
"""Check, file, record, member."""


def _truncate(out: Path, size: int) -> None:
    path = out / TRAIN
    content = path.read_bytes()
    path.write_bytes(content[: size if size >= 0 else len(content) + size])


def _payload(out: Path, row: int, extension: str) -> int:
    return place_of(out, TRAIN, row, extension).offset


def _swap(out: Path, extension: str) -> None:
    """Swap the payloads of the first two records; everything else is adapted, checksums included."""

    def change(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        held = dict(members)
        one, other = f"row-000.{extension}", f"row-001.{extension}"
        held[one], held[other] = held[other], held[one]
        return list(held.items())

    repack(out, TRAIN, change)


def _rejects(out: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    path = out / "rejects.parquet"
    path.write_bytes(parquet_bytes(change(pq.read_table(path))))
    seal(out)


def _index(out: Path, change: Callable[[pa.Table], pa.Table], shard: str = TRAIN) -> None:
    rewrite_index(out, shard, change)
    seal(out)


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    sink = BytesIO()
    np.save(sink, array, allow_pickle=True)
    return sink.getvalue()


def _png(width: int, height: int, mode: str = "RGB") -> bytes:
    sink = BytesIO()
    PIL.Image.new(mode, (width, height)).save(sink, "PNG")
    return sink.getvalue()


def _other_group(out: Path) -> None:
    """Give a record of val the group of one in train, in its json member and in the index."""
    change_json(out, VAL, "row-007", lambda data: data.update(group="g0train"))
    _index(out, lambda table: with_value(table, "group", 0, "g0train"), VAL)


def _same_key(out: Path) -> None:
    """Put the tar and the index of the first shard in the place of the second one."""
    for name in ("train-{}.tar", "index/train-{}.parquet"):
        shutil.copy(out / name.format("000000"), out / name.format("000001"))
    edit(out, lambda data: data["shards"]["train"][1].update(records=4))
    seal(out)


def _reordered(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [*members[6:12], *members[:6], *members[12:]]


def _append(out: Path, name: str, content: bytes) -> None:
    (out / name).write_bytes((out / name).read_bytes() + content)


J, T = "json", "tokens.npy"
DAMAGE: dict[str, tuple[Damage, Named]] = {
    # Bytes of a shard
    "bit in a header": (lambda out: flip(out / TRAIN, 3), ("blocks", TRAIN, "row-000", "flac")),
    "bit in a header, sealed": (lambda out: (flip(out / TRAIN, 110), seal(out))[1], ("blocks", TRAIN, "row-000", "flac")),
    "bit in a header further on": (
        lambda out: flip(out / TRAIN, _payload(out, 2, "png") - 500), ("blocks", TRAIN, "row-002", "png"),
    ),
    "bit in a payload": (lambda out: flip(out / TRAIN, _payload(out, 1, "png") + 99), ("places", TRAIN, "row-001", "png")),
    "bit in a payload, sha256 too": (
        lambda out: flip(out / TRAIN, _payload(out, 1, "png") + 99), ("checksums", TRAIN, None, None),
    ),
    "bit in a padding": (
        lambda out: flip(out / TRAIN, _payload(out, 3, "txt") + 500), ("blocks", TRAIN, "row-003", "txt"),
    ),
    "bit in the end blocks": (lambda out: overwrite(out / TRAIN, -700, b"x"), ("blocks", TRAIN, None, None)),
    "last bytes gone": (lambda out: _truncate(out, -1), ("blocks", TRAIN, None, None)),
    "one end block gone": (lambda out: _truncate(out, -512), ("blocks", TRAIN, None, None)),
    "both end blocks gone": (lambda out: _truncate(out, -1024), ("blocks", TRAIN, None, None)),
    "cut in a payload": (
        lambda out: _truncate(out, _payload(out, 3, "json") + 10), ("blocks", TRAIN, "row-003", "json"),
    ),
    "cut in a header": (
        lambda out: _truncate(out, _payload(out, 3, "json") - 100), ("members", TRAIN, "row-003", None),
    ),
    "cut to nothing": (lambda out: _truncate(out, 0), ("places", TRAIN, "row-000", None)),
    "more zeros at the end": (lambda out: _append(out, TRAIN, bytes(512)), ("blocks", TRAIN, None, None)),
    "something after the end": (lambda out: _append(out, TRAIN, b"more"), ("checksums", TRAIN, None, None)),
    "a page of zeros": (
        lambda out: overwrite(out / TRAIN, _payload(out, 1, "flac") - 512, bytes(4096)), ("blocks", TRAIN, "row-001", "flac"),
    ),
    # Records and their members
    "texts of two records swapped": (lambda out: _swap(out, "txt"), ("tokens", TRAIN, "row-000", T)),
    "json of two records swapped": (lambda out: _swap(out, "json"), ("agreement", TRAIN, "row-000", J)),
    "recordings of two records swapped": (lambda out: _swap(out, "flac"), ("measures", TRAIN, "row-000", "flac")),
    "tokens of two records swapped": (lambda out: _swap(out, "tokens.npy"), ("tokens", TRAIN, "row-000", T)),
    "a member gone": (
        lambda out: repack(out, TRAIN, lambda members: members[1:]), ("members", TRAIN, "row-000", None),
    ),
    "a record gone": (lambda out: repack(out, TRAIN, lambda members: members[6:]), ("places", TRAIN, "row-000", None)),
    "records in another order": (lambda out: repack(out, TRAIN, _reordered), ("places", TRAIN, None, None)),
    "members in another order": (
        lambda out: repack(out, TRAIN, lambda members: [*members[:6][::-1], *members[6:]]), ("members", TRAIN, "row-000", None),
    ),
    "members of a record apart": (
        lambda out: repack(out, TRAIN, lambda members: [*members[1:], members[0]]), ("members", TRAIN, "row-000", None),
    ),
    "a bad key": (
        lambda out: repack(out, TRAIN, lambda members: [(f"__{name}", payload) for name, payload in members]),
        ("keys", TRAIN, "__row-000", None),
    ),
    "a key twice in the dataset": (_same_key, ("keys", "train-000001.tar", "row-000", None)),
    "a group in two splits": (_other_group, ("groups", VAL, "row-007", None)),
    "a picture of another size": (
        lambda out: change_payload(out, TRAIN, "row-002.png", lambda _: _png(25, 16)), ("measures", TRAIN, "row-002", "png"),
    ),
    "a picture that the schema does not allow": (
        lambda out: change_payload(out, TRAIN, "row-002.png", lambda _: _png(25, 16)), ("payloads", TRAIN, "row-002", "png"),
    ),
    "a grey picture": (
        lambda out: change_payload(out, TRAIN, "row-002.png", lambda _: _png(24, 16, "L")), ("payloads", TRAIN, "row-002", "png"),
    ),
    "a picture cut short": (
        lambda out: change_payload(out, TRAIN, "row-002.png", lambda payload: payload[:-30]),
        ("payloads", TRAIN, "row-002", "png"),
    ),
    "a recording that is none": (
        lambda out: change_payload(out, TRAIN, "row-000.flac", lambda payload: b"RIFF" + payload[4:]),
        ("payloads", TRAIN, "row-000", "flac"),
    ),
    "a text that is not UTF-8": (
        lambda out: change_payload(out, TRAIN, "row-001.txt", lambda payload: b"\xff" + payload[1:]),
        ("payloads", TRAIN, "row-001", "txt"),
    ),
    "a pickled array": (
        lambda out: change_payload(out, TRAIN, "row-001.vector.npy", lambda _: _npy(np.array([None, 1, 2]))),
        ("payloads", TRAIN, "row-001", "vector.npy"),
    ),
    "an array that promises too much": (
        lambda out: change_payload(
            out, TRAIN, "row-001.vector.npy", lambda payload: payload.replace(b"(3,), }        ", b"(3000000000,), }")
        ),
        ("payloads", TRAIN, "row-001", "vector.npy"),
    ),
    "an array of another dtype": (
        lambda out: change_payload(out, TRAIN, "row-001.vector.npy", lambda _: _npy(np.zeros(3))),
        ("payloads", TRAIN, "row-001", "vector.npy"),
    ),
    "token ids beyond the vocabulary": (
        lambda out: change_payload(out, TRAIN, "row-001.tokens.npy", lambda _: _npy(np.full(7, 1 << 20, np.int32))),
        ("tokens", TRAIN, "row-001", T),
    ),
    # The json member
    "json that is none": (
        lambda out: change_payload(out, TRAIN, "row-001.json", lambda payload: payload[:-3]), ("json", TRAIN, "row-001", J),
    ),
    "json nested without end": (
        lambda out: change_payload(out, TRAIN, "row-001.json", lambda _: b"[" * 200_000), ("json", TRAIN, "row-001", J),
    ),
    "a key too many": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data.update(extra=1)), ("json", TRAIN, "row-001", J),
    ),
    "a key too few": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data.pop("group")), ("json", TRAIN, "row-001", J),
    ),
    "a null": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data.update(group=None)), ("json", TRAIN, "row-001", J),
    ),
    "an integer that became a float": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data["metadata"].update(number=1.0)),
        ("json", TRAIN, "row-001", J),
    ),
    "metadata that is not JSON text": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data["metadata"].update(tags="{")),
        ("json", TRAIN, "row-001", J),
    ),
    "a sha256 of no input": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data["inputs"]["image"].update(sha256="xyz")),
        ("json", TRAIN, "row-001", J),
    ),
    "another split": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data.update(split="val")), ("agreement", TRAIN, "row-001", J),
    ),
    "another row": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data.update(row=5)), ("agreement", TRAIN, "row-001", J),
    ),
    "another source key": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data.update(source_key="else")),
        ("keys", TRAIN, "row-001", J),
    ),
    "other measures": (
        lambda out: change_json(out, TRAIN, "row-001", lambda data: data["measures"].update({"audio.snr": 99.0})),
        ("agreement", TRAIN, "row-001", J),
    ),
    # Annotations and lineage
    "offsets beyond the text": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["tokens"]["offsets"][-1].__setitem__(1, 999)),
        ("tokens", TRAIN, "row-001", T),
    ),
    "offsets out of order": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["tokens"]["offsets"].reverse()),
        ("tokens", TRAIN, "row-001", T),
    ),
    "offsets shifted by one": (
        lambda out: change_inside(
            out, "row-001", "annotations", lambda held: held["tokens"]["offsets"][2].__setitem__(0, held["tokens"]["offsets"][2][0] + 1)
        ),
        ("tokens", TRAIN, "row-001", T),
    ),
    "an offset missing": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["tokens"]["offsets"].pop()),
        ("tokens", TRAIN, "row-001", T),
    ),
    "a span beyond the text": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["text"]["spans"][0].__setitem__(1, 999)),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a box beyond the picture": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["image"]["boxes"][0].__setitem__(2, 24.5)),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a point beyond the picture": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["image"]["points"][0].__setitem__(0, -3.0)),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a segment beyond the recording": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["audio"]["segments"][0].__setitem__(1, 3.0)),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a box without a label": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["image"]["boxes"][0].pop()),
        ("annotations", TRAIN, "row-001", J),
    ),
    "a box that is not finite": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held["image"]["boxes"][0].__setitem__(0, 1e999)),
        ("json", TRAIN, "row-001", J),
    ),
    "an annotation of no field": (
        lambda out: change_inside(out, "row-001", "annotations", lambda held: held.update(other={"boxes": []})),
        ("annotations", TRAIN, "row-001", J),
    ),
    "an affine map that flattens": (
        lambda out: change_inside(out, "row-001", "lineage", lambda held: held["image"][0].update(numbers=[0, 0, 0, 0, 0, 0])),
        ("lineage", TRAIN, "row-001", J),
    ),
    "a map of another kind": (
        lambda out: change_inside(out, "row-001", "lineage", lambda held: held["image"][0].update(map="edits", numbers=[])),
        ("lineage", TRAIN, "row-001", J),
    ),
    "pieces that overlap": (
        lambda out: change_inside(out, "row-001", "lineage", lambda held: held["audio"][0].update(numbers=[[0, 1, 0, 1]] * 2)),
        ("lineage", TRAIN, "row-001", J),
    ),
    "runs that do not fit": (
        lambda out: change_inside(out, "row-001", "lineage", lambda held: held["text"][0].update(numbers=[[0, 2, 5, 6]])),
        ("lineage", TRAIN, "row-001", J),
    ),
    "a span beyond the raw text": (
        lambda out: change_inside(out, "row-001", "lineage", lambda held: held["text"][0].update(numbers=[[0, 9999, 0, 0]])),
        ("lineage", TRAIN, "row-001", J),
    ),
    # The index
    "an index with another place": (
        lambda out: _index(out, lambda table: with_value(table, "png.offset", 1, 512)), ("places", TRAIN, "row-001", "png"),
    ),
    "an index with another size": (
        lambda out: _index(out, lambda table: with_value(table, "png.size", 1, 99)), ("places", TRAIN, "row-001", "png"),
    ),
    "an index with another crc32": (
        lambda out: _index(out, lambda table: with_value(table, "png.crc32", 1, 99)), ("places", TRAIN, "row-001", "png"),
    ),
    "an index with other metadata": (
        lambda out: _index(out, lambda table: with_value(table, "metadata.number", 1, 99)), ("agreement", TRAIN, "row-001", J),
    ),
    "an index with another width": (
        lambda out: _index(out, lambda table: with_value(table, "image.width", 1, 99)), ("measures", TRAIN, "row-001", "png"),
    ),
    "an index with a null": (
        lambda out: _index(out, lambda table: with_value(table, "group", 1, None)), ("index", "index/train-000000.parquet", None, None),
    ),
    "an index without a column": (
        lambda out: _index(out, lambda table: table.drop_columns(["group"])), ("index", "index/train-000000.parquet", None, None),
    ),
    "an index with a row less": (lambda out: _index(out, lambda table: table.slice(1)), ("places", TRAIN, "row-000", None)),
    "an index of another split": (
        lambda out: _index(out, lambda table: with_value(table, "split", 1, "val")),
        ("agreement", "index/train-000000.parquet", "row-001", None),
    ),
    "an index that is no Parquet": (
        lambda out: (out / "index/train-000000.parquet").write_bytes(b"PAR1 no")  and None,
        ("index", "index/train-000000.parquet", None, None),
    ),
    "a bit in an index": (lambda out: flip(out / "index/val-000000.parquet", 40), ("checksums", "index/val-000000.parquet", None, None)),
    # Files
    "a shard gone": (lambda out: (out / TRAIN).unlink(), ("files", TRAIN, None, None)),
    "an index gone": (
        lambda out: (out / "index/train-000000.parquet").unlink(), ("files", "index/train-000000.parquet", None, None),
    ),
    "an artifact gone": (
        lambda out: (out / "artifacts/tokenizer.json").unlink(), ("files", "artifacts/tokenizer.json", None, None),
    ),
    "another artifact": (
        lambda out: _append(out, "artifacts/tokenizer.json", b"\n"), ("checksums", "artifacts/tokenizer.json", None, None),
    ),
    "the rejects gone": (lambda out: (out / "rejects.parquet").unlink(), ("files", "rejects.parquet", None, None)),
    "shards exchanged": (
        lambda out: (out / TRAIN).rename(out / "x") and (out / VAL).rename(out / TRAIN) and (out / "x").rename(out / VAL) and None,
        ("checksums", TRAIN, None, None),
    ),
    "a shard too many": (
        lambda out: shutil.copy(out / VAL, out / "val-000001.tar") and None, ("files", "val-000001.tar", None, None),
    ),
    "a foreign file": (lambda out: (out / "notes.txt").write_text("x") and None, ("files", "notes.txt", None, None)),
    "a foreign file among the indexes": (
        lambda out: (out / "index/x.parquet").write_text("x") and None, ("files", "index/x.parquet", None, None),
    ),
    "a temporary file": (
        lambda out: (out / ".train-000000.tar.7.tmp").write_text("x") and None, ("files", ".train-000000.tar.7.tmp", None, None),
    ),
    "a build left over": (lambda out: (out / ".build").mkdir(), ("files", ".build", None, None)),
    # Rejects and the account of rows
    "a row in no place": (lambda out: _rejects(out, lambda table: table.slice(1)), ("rows", "rejects.parquet", None, None)),
    "a row in both places": (
        lambda out: _rejects(out, lambda table: with_value(table, "row", 0, 2)), ("rows", "rejects.parquet", "row-002", None),
    ),
    "a row beyond the source": (
        lambda out: _rejects(out, lambda table: with_value(table, "row", 0, 77)), ("rows", "rejects.parquet", None, None),
    ),
    "an unknown kind": (
        lambda out: _rejects(out, lambda table: with_value(table, "kind", 0, "bad")), ("rejects", "rejects.parquet", None, None),
    ),
    "no reason": (
        lambda out: _rejects(out, lambda table: with_value(table, "reason", 0, "")), ("rejects", "rejects.parquet", None, None),
    ),
    "rejects without a column": (
        lambda out: _rejects(out, lambda table: table.drop_columns(["detail"])), ("rejects", "rejects.parquet", None, None),
    ),
    # dataset.json
    "dataset.json that is no JSON": (lambda out: _append(out, "dataset.json", b"}"), ("description", "dataset.json", None, None)),
    "dataset.json that is empty": (lambda out: _append_nothing(out), ("description", "dataset.json", None, None)),
    "dataset.json nested without end": (
        lambda out: (out / "dataset.json").write_text("[" * 200_000) and None, ("description", "dataset.json", None, None),
    ),
    "dataset.json changed": (lambda out: _unsealed(out, "name", "other"), ("description", "dataset.json", None, None)),
    "another fingerprint": (
        lambda out: edit(out, lambda data: data.update(fingerprint="0" * 64)), ("index", "index/train-000000.parquet", None, None),
    ),
    "an unknown key": (lambda out: edit(out, lambda data: data.update(more=1)), ("description", "dataset.json", None, None)),
    "a missing key": (lambda out: edit(out, lambda data: data.pop("members")), ("description", "dataset.json", None, None)),
    "a count of another type": (
        lambda out: edit(out, lambda data: data["counts"].update(rows="13")), ("description", "dataset.json", None, None),
    ),
    "a shard outside of the folder": (
        lambda out: edit(out, lambda data: data["shards"]["train"][0].update(file="../x.tar")),
        ("description", "dataset.json", None, None),
    ),
    "an unknown field kind": (
        lambda out: edit(out, lambda data: data["schema"]["fields"]["image"].update(kind="smell")),
        ("description", "dataset.json", None, None),
    ),
    "members that do not fit the schema": (
        lambda out: edit(out, lambda data: data["members"].update(png="text")), ("description", "dataset.json", None, None),
    ),
    "counts that do not add up": (
        lambda out: edit(out, lambda data: data["counts"].update(rows_written=9)), ("counts", "dataset.json", None, None),
    ),
    "splits that do not add up": (
        lambda out: edit(out, lambda data: data["counts"]["splits"].update(val=2)), ("counts", "dataset.json", None, None),
    ),
    "kinds of rejects that do not add up": (
        lambda out: edit(out, lambda data: data["counts"]["rejects"].update(error=2)), ("counts", "dataset.json", None, None),
    ),
    "a shard with more records": (
        lambda out: edit(out, lambda data: data["shards"]["train"][0].update(records=5)), ("counts", TRAIN, None, None),
    ),
    "shards in another order": (
        lambda out: edit(out, lambda data: data["shards"]["train"].reverse()), ("files", "train-000001.tar", None, None),
    ),
    "an index not listed": (
        lambda out: edit(out, lambda data: data["index"].pop("rejects.parquet")), ("description", "dataset.json", None, None),
    ),
    "other statistics": (
        lambda out: edit(out, lambda data: data["statistics"]["audio.snr"].update(mean=0.0)), ("statistics", "dataset.json", None, None),
    ),
    "a schema with another rate": (
        lambda out: edit(out, lambda data: data["schema"]["fields"]["audio"].update(rate=16000)), ("payloads", TRAIN, "row-000", "flac"),
    ),
    "a schema with another vocabulary": (
        lambda out: edit(out, lambda data: data["schema"]["fields"]["tokens"].update(vocabulary=2)), ("tokens", TRAIN, "row-000", T),
    ),
}  # fmt: skip


def _append_nothing(out: Path) -> None:
    (out / "dataset.json").write_bytes(b"")


def _unsealed(out: Path, name: str, value: object) -> None:
    data = json.loads((out / "dataset.json").read_bytes())
    (out / "dataset.json").write_text(json.dumps({**data, name: value}), encoding="utf-8")


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(out: Path, name: str) -> None:
    """The finding names the check, the file, the record and the member."""
    damage, (check, file, record, member) = DAMAGE[name]
    damage(out)
    report = validate(out)
    assert not report.ok
    found = {(one.check, one.file, one.record, one.member) for one in report.findings}
    assert (check, file, record, member) in found, report.findings


def test_a_damaged_header_loses_no_other_member(out: Path) -> None:
    """Reading goes on at the next place in the index: all records are still looked at."""
    flip(out / TRAIN, _payload(out, 0, "png") - 500)
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
    flip(out / TRAIN, _payload(out, 1, "png") + 99)
    (out / "dataset.json").write_text("{", encoding="utf-8")
    found = {(one.check, one.file, one.record, one.member) for one in validate(out).findings}
    assert ("description", "dataset.json", None, None) in found
    assert ("places", TRAIN, "row-001", "png") in found


@pytest.mark.parametrize("seed", range(6))
def test_no_damage_raises(out: Path, seed: int) -> None:
    """Random bytes anywhere, with every checksum adapted, end in findings and never in an exception."""
    rng = np.random.default_rng(seed)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.suffix in {".tar", ".parquet", ".json"})
    for _ in range(12):
        path = files[int(rng.integers(len(files)))]
        overwrite(path, int(rng.integers(path.stat().st_size)), rng.bytes(int(rng.integers(1, 9))))
    assert not validate(out).ok
