"""What the suites of damage share: the ways to damage a copy, and the check that a finding names the place."""

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

from mmdata.shards.index import parquet_bytes
from mmdata.validation.checks import validate
from tests.validation.datasets import (
    change_inside,
    change_json,
    change_payload,
    edit,
    place_of,
    repack,
    rewrite_index,
    seal,
    with_value,
)

TRAIN, VAL = "train-000000.tar", "val-000000.tar"
INDEX = "index/train-000000.parquet"
Damage = Callable[[Path], object]
Named = tuple[str, str, str | None, str | None]
"""Check, file, record, member."""


def assert_found(out: Path, damage: Damage, named: Named) -> None:
    """Damage a dataset; the findings must name check, file, record and member."""
    damage(out)
    report = validate(out)
    assert not report.ok
    assert named in {(one.check, one.file, one.record, one.member) for one in report.findings}, report.findings


def truncate(out: Path, size: int) -> None:
    """Cut the first shard to a size in bytes, or by as many where it is negative."""
    path = out / TRAIN
    content = path.read_bytes()
    path.write_bytes(content[: size if size >= 0 else len(content) + size])


def start_of(out: Path, row: int, extension: str) -> int:
    """Return where a payload of the first shard begins, in bytes."""
    return place_of(out, TRAIN, row, extension).offset


def swap_payloads(out: Path, extension: str) -> None:
    """Swap the payloads of the first two records; everything else is adapted, checksums included."""

    def change(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        held = dict(members)
        one, other = f"row-000.{extension}", f"row-001.{extension}"
        held[one], held[other] = held[other], held[one]
        return list(held.items())

    repack(out, TRAIN, change)


def change_rejects(out: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the rejects, with checksums adapted."""
    path = out / "rejects.parquet"
    path.write_bytes(parquet_bytes(change(pq.read_table(path))))
    seal(out)


def change_index(out: Path, change: Callable[[pa.Table], pa.Table], shard: str = TRAIN) -> None:
    """Change an index, with checksums adapted."""
    rewrite_index(out, shard, change)
    seal(out)


def npy(array: np.ndarray[Any, Any]) -> bytes:
    """Return an array as NumPy writes it, pickled where it must be."""
    sink = BytesIO()
    np.save(sink, array, allow_pickle=True)
    return sink.getvalue()


def png(width: int, height: int, mode: str = "RGB") -> bytes:
    """Return a black picture."""
    sink = BytesIO()
    PIL.Image.new(mode, (width, height)).save(sink, "PNG")
    return sink.getvalue()


def other_group(out: Path) -> None:
    """Give a record of val the group of one in train, in its json member and in the index."""
    change_json(out, VAL, "row-007", lambda data: data.update(group="g0train"))
    change_index(out, lambda table: with_value(table, "group", 0, "g0train"), VAL)


def same_key(out: Path) -> None:
    """Put the tar and the index of the first shard in the place of the second one."""
    for name in ("train-{}.tar", "index/train-{}.parquet"):
        shutil.copy(out / name.format("000000"), out / name.format("000001"))
    edit(out, lambda data: data["shards"]["train"][1].update(records=4))
    seal(out)


def reordered(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Exchange the first two records."""
    return [*members[6:12], *members[:6], *members[12:]]


def append(out: Path, name: str, content: bytes) -> None:
    """Append bytes to a file."""
    (out / name).write_bytes((out / name).read_bytes() + content)


def replace_in(out: Path, name: str, old: bytes, new: bytes) -> None:
    """Replace bytes of a file that stand there once."""
    content = (out / name).read_bytes()
    assert content.count(old) == 1
    (out / name).write_bytes(content.replace(old, new))


def nested(depth: int) -> list[Any]:
    """Return lists within lists."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def endless(column: str) -> bytes:
    """Return a Parquet file of few bytes with a million rows."""
    return parquet_bytes(pa.table({column: pa.array(np.zeros(1_000_000, np.int64))}))


def payload(name: str, change: Callable[[bytes], bytes]) -> Damage:
    """Give a member of the first shard another payload, with everything else adapted."""
    return lambda out: change_payload(out, TRAIN, name, change)


def packed(change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> Damage:
    """Write the first shard with other members, with everything else adapted."""
    return lambda out: repack(out, TRAIN, change)


def said(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change the json member of the second record, with everything else adapted."""
    return lambda out: change_json(out, TRAIN, "row-001", change)


def inside(part: str, change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change annotations or lineage of the second record, with everything else adapted."""
    return lambda out: change_inside(out, "row-001", part, change)


def indexed(change: Callable[[pa.Table], pa.Table]) -> Damage:
    """Change the index of the first shard, with checksums adapted."""
    return lambda out: change_index(out, change)


def rejected(change: Callable[[pa.Table], pa.Table]) -> Damage:
    """Change the rejects, with checksums adapted."""
    return lambda out: change_rejects(out, change)


def described(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Change dataset.json, with its checksum adapted."""
    return lambda out: edit(out, change)


def rewritten(file: str, content: str) -> Damage:
    """Write a file."""
    return lambda out: (out / file).write_text(content, encoding="utf-8")


def exchange(out: Path) -> None:
    """Exchange two shards."""
    one, other = (out / TRAIN).read_bytes(), (out / VAL).read_bytes()
    (out / TRAIN).write_bytes(other)
    (out / VAL).write_bytes(one)


def unseal(out: Path) -> None:
    """Change dataset.json and leave its checksum."""
    data = json.loads((out / "dataset.json").read_bytes())
    (out / "dataset.json").write_text(json.dumps({**data, "name": "other"}), encoding="utf-8")
