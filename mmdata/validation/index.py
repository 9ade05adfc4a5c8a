"""Checks the index of a shard, and compares it with the members that stand in the tar."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmdata.codec import Codec
from mmdata.crc import crc32
from mmdata.dataset import Shard
from mmdata.errors import DatasetError
from mmdata.files import digest_of_json
from mmdata.shards.index import ShardIndex, index_schema
from mmdata.shards.tar import BLOCK
from mmdata.validation.blocks import Found
from mmdata.validation.description import Promised
from mmdata.validation.findings import Notes, shown
from mmdata.validation.tables import check_rows

Row = Mapping[str, Any]


@dataclass(frozen=True)
class IndexRows:
    """The rows of an index that could be read, and the extensions it has columns for, sorted."""

    rows: Sequence[Row]
    extensions: tuple[str, ...]

    def members(self) -> dict[int, tuple[str, int]]:
        """Return where the header of each member must stand: byte to name and size."""
        return {
            row[f"{extension}.offset"] - BLOCK: (f"{row['key']}.{extension}", row[f"{extension}.size"])
            for row in self.rows
            for extension in self.extensions
        }


def read_index(out: Path, shard: Shard, promised: Promised, notes: Notes) -> IndexRows | None:
    """Read and check the index of a shard; None where it is missing or cannot be relied upon, which is noted."""
    if not (out / shard.index_file).is_file():
        return None
    notes = notes.on(shard.index_file)
    notes.covered("index")
    try:
        check_rows(out / shard.index_file)
        index = ShardIndex.read(out / shard.index_file)
        extensions = _extensions(index.table)
        if not _has_columns(index.table, extensions, promised.codec, notes):
            return None
        rows = index.table.to_pylist()
    except (DatasetError, pa.ArrowException, OSError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        notes.error("index", f"it cannot be read: {error}")
        return None
    _check_info(index, shard, promised, notes)
    for row in rows:
        if row["split"] != shard.split:
            notes.at(row["key"]).error("agreement", f"its split is {shown(row['split'])}, the shard's is {shard.split!r}")
    return IndexRows(rows, extensions)


def _extensions(table: pa.Table) -> tuple[str, ...]:
    return tuple(sorted(name.removesuffix(".crc32") for name in table.column_names if name.endswith(".crc32")))


def _has_columns(table: pa.Table, extensions: Sequence[str], codec: Codec | None, notes: Notes) -> bool:
    """Whether all columns are there with their types and without nulls; without a codec, those that every index has."""
    if codec is None:
        expected = index_schema(extensions, (), {}, {})
    else:
        expected = index_schema(codec.extensions, codec.inputs, codec.measures, codec.schema.metadata)
    wanted = {field.name: field.type for field in expected}
    found = {field.name: field.type for field in table.schema}
    problems = [f"column {name!r} is missing" for name in wanted if name not in found]
    problems += [
        f"column {name!r} is of type {found[name]}, not {type_}"
        for name, type_ in wanted.items()
        if name in found and found[name] != type_
    ]
    if codec is not None:
        problems += [f"column {name!r} is not among the promised ones" for name in found if name not in wanted]
    problems += [f"column {name!r} holds nulls" for name in table.column_names if table.column(name).null_count]
    if len(found) != len(table.column_names):
        problems.append("two columns have the same name")
    for problem in problems:
        notes.error("index", problem)
    return not problems


def _check_info(index: ShardIndex, shard: Shard, promised: Promised, notes: Notes) -> None:
    info = index.info
    if len(index) != info.records:
        notes.error("index", f"it has {len(index)} rows, but says of itself that there are {shown(info.records)} records")
    if not promised.has_shards:
        return
    for name in ("records", "bytes", "sha256"):
        if getattr(info, name) != getattr(shard, name):
            notes.error(
                "index", f"{name} of the tar is {shown(getattr(info, name))} here, {getattr(shard, name)} in dataset.json"
            )
    _check_maker(index, promised, notes)
    if not index.is_whole:
        notes.error("index", "its rows, or the rejects in it, are not those that were written to it")


def _check_maker(index: ShardIndex, promised: Promised, notes: Notes) -> None:
    """Check that a shard was made by the recipe of the dataset, and by artifacts that it has."""
    identity, artifacts = promised.parts.get("identity", {}), promised.parts.get("artifacts")
    if "recipe" in identity and index.info.recipe != digest_of_json(identity["recipe"]):
        notes.error("index", "it was made by another recipe than dataset.json names")
    if artifacts is not None and not dict(index.info.artifacts).items() <= artifacts.items():
        notes.error("index", "it was made by other artifacts than dataset.json names")


def check_places(members: Mapping[str, Found], row: Row, notes: Notes) -> None:
    """Check that the members of one record stand where its index row says, with this size and crc32."""
    for extension in (name.removesuffix(".crc32") for name in row if name.endswith(".crc32")):
        notes.covered("places")
        if (found := members.get(extension)) is None:
            where = row[f"{extension}.offset"]
            notes.at(row["key"], extension).error("places", f"the index has it at byte {where}, but it is not there")
            continue
        actual = {"offset": found.offset, "size": len(found.payload), "crc32": crc32(found.payload)}
        wrong = [name for name, value in actual.items() if row[f"{extension}.{name}"] != value]
        if wrong == ["crc32"]:
            notes.at(found.key, extension).error("places", "its payload is damaged: its crc32 differs from the index")
        elif wrong:
            told = ", ".join(f"{name} {row[f'{extension}.{name}']} (is {actual[name]})" for name in wrong)
            notes.at(found.key, extension).error("places", f"the index gives {told}")


def check_order(keys: Sequence[str], index: IndexRows, notes: Notes) -> None:
    """Check that tar and index hold the same records in the same order; `keys` are those in the tar, each once."""
    listed = [row["key"] for row in index.rows]
    in_tar, in_index = set(keys), set(listed)
    for key in dict.fromkeys(listed):
        if key not in in_tar:
            notes.at(key).error("places", "the index has a row for it, but it is not in the tar")
    for key in keys:
        if key not in in_index:
            notes.at(key).error("places", "it is in the tar, but the index has no row for it")
    if in_tar == in_index and keys != listed:
        notes.error("places", "the rows of the index are not in the order of the tar")


def is_json(text: str) -> bool:
    """Whether a text is JSON, as metadata and measures of type `json` must be."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
