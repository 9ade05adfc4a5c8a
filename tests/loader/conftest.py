"""A small dataset folder, written shard by shard with the same parts that a build uses."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mmdata.codec import Codec
from mmdata.files import canonical_json, digest_of_json
from mmdata.formats import Format, Ogg, Png, Wav, Webp
from mmdata.record import Origin, Record
from mmdata.rng import rng_for
from mmdata.schema import FieldType, Schema
from mmdata.shards.index import ShardInfo, index_schema, write_index
from mmdata.shards.tar import TarWriter
from mmdata.values import Array, Audio, Image, Text, Tokens, Value

RATE = 8000
COUNTS = (5, 7, 3, 8, 1, 6, 7)
SCHEMA = Schema(
    {
        "image": FieldType("image", dtype="uint8", shape=(None, None, 3)),
        "audio": FieldType("audio", dtype="float32", shape=(1, None), rate=RATE),
        "text": FieldType("text"),
        "tokens": FieldType("tokens", dtype="int32", shape=(None,), text="text", vocabulary=1000),
        "mel": FieldType("array", dtype="float32", shape=(4, None)),
        "place": FieldType("array", dtype="float64", shape=(2,)),
    },
    metadata={"label": "str", "score": "float"},
)

MakeDataset = Callable[..., Path]


def make_record(number: int, split: str = "train") -> Record:
    """Return a record whose content is a function of its number; sizes differ from record to record."""
    rng = rng_for(number, "test record")
    height, width, samples, words = (int(rng.integers(low, high)) for low, high in ((12, 24), (12, 24), (300, 600), (1, 9)))
    tokens = rng.integers(0, 1000, words).astype(np.int32)
    fields: dict[str, Value] = {
        "image": Image(rng.integers(0, 256, (height, width, 3)).astype(np.uint8)),
        "audio": Audio((rng.standard_normal((1, samples)) * 0.2).astype(np.float32), RATE),
        "text": Text(f"größe {number}"),
        "tokens": Tokens(tokens, np.zeros((words, 2), dtype=np.int32)),
        "mel": Array(rng.standard_normal((4, words)).astype(np.float32)),
        "place": Array(rng.standard_normal(2)),
    }
    origin = Origin(number, f"r{number}", split, f"r{number}")
    return Record(f"r{number:04d}", fields, origin, metadata={"label": f"l{number % 3}", "score": number / 2})


def write_dataset(out: Path, shards: Sequence[tuple[str, Sequence[Record]]], codec: Codec) -> Path:
    """Write a complete dataset folder; `shards` are (split, records)."""
    (out / "index").mkdir(parents=True)
    described: dict[str, list[dict[str, object]]] = {}
    for split, records in shards:
        file = f"{split}-{len(described.setdefault(split, [])):06d}.tar"
        described[split].append({"file": file, "records": len(records), **_write_shard(out, file, records, codec)})
    members = {extension: name for extension, (name, _) in codec.members.items()}
    description = {"format": 1, "schema": codec.schema.to_json(), "members": members, "inputs": [], "shards": described}
    checksum = digest_of_json(description)
    (out / "dataset.json").write_text(canonical_json({**description, "checksum": checksum}))
    return out


def _write_shard(out: Path, file: str, records: Sequence[Record], codec: Codec) -> dict[str, object]:
    rows = []
    with (out / file).open("wb") as tar:
        writer = TarWriter(tar)
        for record in records:
            row: dict[str, object] = {"key": record.key, "row": record.origin.row, "split": record.origin.split}
            row |= {"source_key": record.key, "group": record.origin.group, "input.digest": "", **codec.measure(record)}
            row |= {f"metadata.{name}": value for name, value in record.metadata.items()}
            for extension, payload in codec.encode(record).items():
                offset = writer.add(f"{record.key}.{extension}", payload)
                row |= _place(extension, offset, payload)
            rows.append(row)
        sha256 = writer.finish()
    info = ShardInfo(hashlib.sha256(file.encode()).hexdigest(), "recipe", {}, len(records), writer.bytes, sha256)
    schema = index_schema(codec.extensions, codec.inputs, codec.measures, codec.schema.metadata)
    table = pa.Table.from_pylist(rows, schema=schema)
    (out / "index" / file.replace(".tar", ".parquet")).write_bytes(write_index(table, info))
    return {"bytes": writer.bytes, "sha256": sha256}


def _place(extension: str, offset: int, payload: bytes) -> dict[str, object]:
    return {f"{extension}.offset": offset, f"{extension}.size": len(payload), f"{extension}.crc32": zlib.crc32(payload)}


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory: pytest.TempPathFactory) -> MakeDataset:
    """Make datasets of shards with these record counts; pictures and recordings in these formats."""

    def make(
        counts: Sequence[int] = COUNTS,
        *,
        image: Format[Image] | None = None,
        audio: Format[Audio] | None = None,
        change: Callable[[Record], Record] = lambda record: record,
        schema: Schema = SCHEMA,
    ) -> Path:
        output = {name: format_ for name, format_ in (("image", image), ("audio", audio)) if format_ is not None}
        ends = np.cumsum(counts).tolist()
        shards = [
            ("train", [change(make_record(number)) for number in range(end - count, end)])
            for count, end in zip(counts, ends, strict=True)
        ]
        shards.append(("val", [make_record(1000 + number, "val") for number in range(3)]))
        return write_dataset(tmp_path_factory.mktemp("dataset") / "out", shards, Codec.plan(schema, output, ()))

    return make


@pytest.fixture(scope="session")
def shared(make_dataset: MakeDataset) -> Path:
    """A dataset of 37 records in 7 shards, for tests that only read."""
    return make_dataset()


@pytest.fixture
def damaged(make_dataset: MakeDataset) -> Path:
    """A dataset like `shared` that the test may damage."""
    return make_dataset()


@pytest.fixture(params=[None, Png(), Webp()], ids=["jpg", "png", "webp"])
def image_format(request: pytest.FixtureRequest) -> Format[Image] | None:
    """Each format of pictures."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=[None, Wav(), Ogg()], ids=["flac", "wav", "ogg"])
def audio_format(request: pytest.FixtureRequest) -> Format[Audio] | None:
    """Each format of recordings."""
    return request.param  # type: ignore[no-any-return]
