"""Writes small datasets as a build does, without its sources and stages, and edits them as damage would."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmdata.codec import Codec
from mmdata.dataset import fingerprint_of
from mmdata.files import canonical_json, digest_of_json, sha256_of
from mmdata.formats import Png
from mmdata.lineage import Affine, TimeMap
from mmdata.plan import RowReject
from mmdata.record import Origin, Provenance, Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.shards.index import ShardIndex, ShardInfo, index_schema, parquet_bytes, write_index
from mmdata.shards.tar import TarWriter
from mmdata.summary import rejects_table
from mmdata.validation.account import statistics_of
from mmdata.values import Array, Audio, Box, Image, Point, Segment, Span, Text, Tokens

WORDS = ("a", "red", "green", "small", "large", "cat", "dog", "house", "tree", "stands", "sleeps", "near")
SPLITS = {"train": (4, 3), "val": (3,)}
"""Records of each shard, by split."""


def tokenizer() -> bytes:
    """Return a byte-level tokenizer with one token a byte and a few merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    return made.to_str().encode()


def schema(vocabulary: int) -> Schema:
    """Return the schema of the records."""
    fields = {
        "image": FieldType("image", dtype="uint8", shape=(16, 24, 3)),
        "audio": FieldType("audio", dtype="float32", shape=(1, None), rate=8000),
        "text": FieldType("text", dtype="str"),
        "tokens": FieldType("tokens", dtype="int32", shape=(None,), text="text", vocabulary=vocabulary),
        "vector": FieldType("array", dtype="float32", shape=(3,)),
    }
    return Schema(fields, {"number": "int", "tags": "json"}, {"audio.snr": "float"})


def record(row: int, split: str, tokens: Callable[[str], Tokens]) -> Record:
    """Return a record with annotations and lineage in every field that can have them."""
    rng = np.random.default_rng(row)
    text = Text("  " + " ".join(rng.choice(WORDS, 5)) + ".", (Span(2, 5, "start"),)).edited([(0, 2, "")], "text.normalize")
    boxes, points = (Box(4.0, 4.0, 20.0, 30.0, "thing"),), (Point(10.0, 10.0, "nose"),)
    raw = Image(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8), boxes, points)
    image = raw.moved(rng.integers(0, 255, (16, 24, 3), dtype=np.uint8), Affine.scale(0.4, 0.4), "image.resize")
    samples = (0.2 * np.sin(np.arange(1600 + 10 * row) / 9)[None]).astype(np.float32)
    sound = Audio(np.zeros((1, 8000), np.float32), 8000, (Segment(0.15, 0.25, "word"),))
    audio = sound.retimed(samples, TimeMap.cut(0.1, 0.1 + samples.shape[1] / 8000), "audio.trim")
    vector = rng.random(3).astype(np.float32)
    inputs = {name: Provenance(f"files/{row}.{name}", f"{row:064x}", 5000 + row) for name in ("audio", "image", "text")}
    origin = Origin(row, f"row-{row:03d}", split, f"g{row // 2}{split}", inputs)
    fields = {"image": image, "audio": audio, "text": text, "tokens": tokens(text.text)}
    metadata = {"number": row, "tags": canonical_json(["x"] * (row % 3))}
    return Record(f"row-{row:03d}", {**fields, "vector": Array(vector)}, origin, metadata, {"audio.snr": 10.0 + row / 8})


def make_dataset(out: Path, change: Callable[[Record], Record] = lambda one: one) -> Path:
    """Write a dataset of 10 records in 3 shards, with 3 rejected rows; `change` is applied to every record."""
    from tokenizers import Tokenizer

    (out / "index").mkdir(parents=True)
    (out / "artifacts").mkdir()
    (out / "artifacts/tokenizer.json").write_bytes(content := tokenizer())
    loaded = Tokenizer.from_buffer(content)
    codec = Codec.plan(schema(loaded.get_vocab_size()), {"image": Png()}, ("audio", "image", "text"))

    def tokens(text: str) -> Tokens:
        found = loaded.encode(text)
        return Tokens(np.array(found.ids, np.int32), np.array(found.offsets, np.int32).reshape(-1, 2))

    row, shards = 0, {}
    for split, sizes in SPLITS.items():
        for number, size in enumerate(sizes):
            records = [change(record(one, split, tokens)) for one in range(row, row + size)]
            shards.setdefault(split, []).append(write_shard(out, f"{split}-{number:06d}", records, codec))
            row += size
    rejects = [("error", 10), ("filtered", 11), ("duplicate", 12)]
    found = [RowReject(one, f"row-{one:03d}", "stages[0] some.stage", Reject(kind, "reason", "detail")) for kind, one in rejects]
    (out / "rejects.parquet").write_bytes(parquet_bytes(rejects_table(found)))
    write_description(out, codec, shards)
    return out


def write_shard(out: Path, name: str, records: Sequence[Record], codec: Codec) -> dict[str, Any]:
    """Write a tar and its index; return what dataset.json says of it."""
    sink, rows = BytesIO(), []
    tar = TarWriter(sink)
    for one in records:
        origin = one.origin
        row = {"key": one.key, "row": origin.row, "source_key": origin.source_key, "split": origin.split, "group": origin.group}
        row |= {"input.digest": f"{origin.row:064x}"}
        row |= {f"input.{name}.sha256": given.sha256 for name, given in origin.inputs.items()}
        for extension, payload in codec.encode(one).items():
            row[f"{extension}.offset"] = tar.add(f"{one.key}.{extension}", payload)
            row |= {f"{extension}.size": len(payload), f"{extension}.crc32": zlib.crc32(payload)}
        rows.append(row | codec.measure(one) | {f"metadata.{key}": value for key, value in one.metadata.items()})
    info = ShardInfo("0" * 64, digest_of_json({}), {}, len(records), 0, tar.finish())
    info = replace(info, bytes=tar.bytes)
    (out / f"{name}.tar").write_bytes(sink.getvalue())
    columns = index_schema(codec.extensions, codec.inputs, codec.measures, codec.schema.metadata)
    (out / f"index/{name}.parquet").write_bytes(write_index(pa.Table.from_pylist(rows, schema=columns), info))
    return {"file": f"{name}.tar", "records": info.records, "bytes": info.bytes, "sha256": info.sha256}


def write_description(out: Path, codec: Codec, shards: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write dataset.json."""
    tables = [pq.read_table(path) for split in SPLITS for path in sorted((out / "index").glob(f"{split}-*.parquet"))]
    numeric = [name for name, type_ in codec.measures.items() if type_ in {"int", "float"}]
    columns = {name: np.concatenate([table.column(name).to_numpy() for table in tables]) for name in numeric}
    splits = {split: sum(one["records"] for one in found) for split, found in shards.items()}
    data = {
        "format": 1,
        "name": "small",
        "recipe": {"stages": [{"text.tokenize": {"output": "tokens", "add_special": False, "max_tokens": None}}]},
        "identity": {"recipe": {}, "rows": {"count": 13, "digest": "0"}},
        "fingerprint": "",
        "versions": {"mmdata": "0"},
        "schema": codec.schema.to_json(),
        "members": {extension: name for extension, (name, _) in codec.members.items()},
        "inputs": list(codec.inputs),
        "counts": {
            "rows": 13, "rows_written": 10, "rows_rejected": 3, "records": 10,
            "rejects": {"error": 1, "filtered": 1, "duplicate": 1}, "splits": splits,
        },
        "shards": shards,
        "index": {},
        "artifacts": {"tokenizer.json": ""},
        "statistics": {name: statistics_of(values) for name, values in columns.items()},
    }  # fmt: skip
    (out / "dataset.json").write_text(canonical_json(data), encoding="utf-8")
    seal(out)


def describe(out: Path) -> dict[str, Any]:
    """Return the content of dataset.json."""
    data: dict[str, Any] = json.loads((out / "dataset.json").read_bytes())
    return data


def edit(out: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change dataset.json and adapt its checksum."""
    data = describe(out)
    change(data)
    data.pop("checksum", None)
    (out / "dataset.json").write_text(canonical_json({**data, "checksum": digest_of_json(data)}), encoding="utf-8")


def seal(out: Path) -> None:
    """Adapt every checksum to the files as they now are, as someone would who wants damage to go unseen."""

    def change(data: dict[str, Any]) -> None:
        for found in data["shards"].values():
            for shard in found:
                path = out / shard["file"]
                shard |= {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
                rewrite_index(out, shard["file"], lambda table: table)
        files = [*sorted((out / "index").glob("*.parquet")), out / "rejects.parquet"]
        data["index"] = {path.relative_to(out).as_posix(): sha256_of(path) for path in files}
        data["artifacts"] = {path.name: sha256_of(path) for path in sorted((out / "artifacts").iterdir())}
        data["fingerprint"] = fingerprint_of(data["identity"], data["artifacts"])

    edit(out, change)


def rewrite_index(out: Path, shard: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change the table of an index; what it says of its tar is adapted to the tar."""
    path = out / f"index/{Path(shard).stem}.parquet"
    index = ShardIndex.read(path)
    tar = out / shard
    info = replace(index.info, records=len(index), bytes=tar.stat().st_size, sha256=sha256_of(tar))
    path.write_bytes(write_index(change(index.table), info, index.rejects))


def with_value(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    """Return a table in which one value is another."""
    values = table.column(column).to_pylist()
    values[row] = value
    type_ = table.schema.field(column).type
    return table.set_column(table.column_names.index(column), column, pa.array(values, type_))


@dataclass(frozen=True)
class Place:
    """Where a member stands in its shard."""

    shard: str
    row: int
    offset: int
    size: int


def place_of(out: Path, shard: str, row: int, extension: str) -> Place:
    """Return where a member stands."""
    member = ShardIndex.read(out / f"index/{Path(shard).stem}.parquet").members(extension)[row]
    return Place(shard, row, member.offset, member.size)


def overwrite(path: Path, offset: int, content: bytes) -> None:
    """Write bytes into a file, at a place counted from its end where that is negative."""
    data = bytearray(path.read_bytes())
    offset = offset if offset >= 0 else len(data) + offset
    data[offset : offset + len(content)] = content
    path.write_bytes(data)


def flip(path: Path, offset: int) -> None:
    """Flip one bit."""
    data = path.read_bytes()
    overwrite(path, offset, bytes([data[offset] ^ 4]))


def repack(out: Path, shard: str, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> None:
    """Write a shard again with other members, and adapt offsets, sizes, crc32 and all checksums, as far as keys still fit."""
    index = ShardIndex.read(out / f"index/{Path(shard).stem}.parquet")
    extensions = sorted(name.removesuffix(".crc32") for name in index.table.column_names if name.endswith(".crc32"))
    content, members = (out / shard).read_bytes(), []
    for row, key in enumerate(index.column("key")):
        for extension in extensions:
            member = index.members(extension)[row]
            members.append((f"{key}.{extension}", content[member.offset : member.offset + member.size]))
    sink = BytesIO()
    tar = TarWriter(sink)
    places = {name: (tar.add(name, payload), len(payload), zlib.crc32(payload)) for name, payload in change(members)}
    tar.finish()
    (out / shard).write_bytes(sink.getvalue())

    def adapt(table: pa.Table) -> pa.Table:
        for row, key in enumerate(table.column("key").to_pylist()):
            for extension in extensions:
                for part, value in zip(("offset", "size", "crc32"), places.get(f"{key}.{extension}", ()), strict=False):
                    table = with_value(table, f"{extension}.{part}", row, value)
        return table

    rewrite_index(out, shard, adapt)
    seal(out)


def change_payload(out: Path, shard: str, name: str, change: Callable[[bytes], bytes]) -> None:
    """Give one member another payload, with everything else adapted."""
    repack(out, shard, lambda members: [(each, change(payload) if each == name else payload) for each, payload in members])


def change_json(out: Path, shard: str, key: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what the json member of one record says, with everything else adapted."""

    def changed(payload: bytes) -> bytes:
        data = json.loads(payload)
        change(data)
        return json.dumps(data).encode()

    change_payload(out, shard, f"{key}.json", changed)


def change_inside(out: Path, key: str, part: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change annotations or lineage of one record of the first shard."""

    def changed(data: dict[str, Any]) -> None:
        held = json.loads(data[part])
        change(held)
        data[part] = json.dumps(held)

    change_json(out, "train-000000.tar", key, changed)
