"""`record.deduplicate`: finds records of the same content in a fit pass over the corpus, and keeps the first."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import FitStage, Outcome
from mmdata.stages.record import check_fields
from mmdata.values import Array, Audio, Text, Tokens, Value, Video

_FILE = "duplicates.jsonl"
_SCHEMA = pa.schema([("row", pa.int64()), ("key", pa.large_string()), ("digest", pa.binary(32))])


class Deduplicate(FitStage):
    """Rejects a record whose content is the same, byte for byte, as that of an earlier one.

    What is compared is the content as it is at this stage: encoded bytes, pixels, samples with their rate, characters, ids;
    not annotations, metadata or keys. The first in row order stays. A record that has none of the fields is no duplicate.

    Example:
        - record.deduplicate: {fields: [image]}
    """

    every_split: ClassVar[bool] = True

    fields: tuple[str, ...] = Field((), description="the fields that must all be the same; every field where none is named")

    def infer(self, schema: Schema) -> Schema:
        """Check that the fields exist."""
        check_fields(schema, self.fields)
        return schema

    def reads(self) -> frozenset[str]:
        """The fields named, or all of them."""
        return frozenset(self.fields or ["*"])

    def observe(self, records: Iterable[Record]) -> pa.Table:
        """Return columns `row`, `key` and `digest` (sha256 of the content) of the records that have content."""
        seen = [(record.origin.row, record.key, digest) for record in records if (digest := self._digest(record)) is not None]
        columns = ([line[number] for line in seen] for number in range(3))
        return pa.table([pa.array(column, type_) for column, type_ in zip(columns, _SCHEMA.types, strict=True)], schema=_SCHEMA)

    def reduce(self, observations: pa.Table) -> dict[str, bytes]:
        """Return one line of JSON for each duplicate: [row, key, row kept, key kept]."""
        rows, keys, digests = observations.combine_chunks().columns
        lines = [
            json.dumps([rows[place].as_py(), keys[place].as_py(), rows[first].as_py(), keys[first].as_py()]) + "\n"
            for place, first in _repeats(digests)
        ]
        return {_FILE: "".join(lines).encode()}

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record, or a Reject of kind `duplicate` that names the one kept."""
        kept = _duplicates(self.learned[_FILE]).get((record.origin.row, record.key))
        if kept is None:
            return record
        return Reject("duplicate", "same content as an earlier row", f"row {kept[0]} ({kept[1]})")

    def _digest(self, record: Record) -> bytes | None:
        names = [name for name in self.fields or sorted(record.fields) if name in record.fields]
        if not names:
            return None
        digest = hashlib.sha256()
        for name in names:
            for part in (name.encode(), *_content(record[name])):
                # The length before each part says where it ends, so that no two contents read the same.
                digest.update(len(part).to_bytes(8, "little"))
                digest.update(part)
        return digest.digest()


def _content(value: Value) -> Iterator[bytes | memoryview]:
    """Give what makes up the content of a value: its kind, its form, its bytes."""
    yield value.kind.encode()
    match value:
        case Text():
            yield value.text.encode("utf-8", "surrogatepass")
        case Tokens():
            yield from _array_content(value.ids)
        case Array():
            yield from _array_content(value.array)
        case _:
            if isinstance(value, Audio):
                yield str(value.rate).encode()
            if isinstance(value, Video):
                yield f"{value.start!r} {value.seconds!r} {value.times.tolist()}".encode()
                yield from _content(value.sound) if value.sound is not None else ()
            if isinstance(value.data, bytes):
                yield value.data
            else:
                yield from _array_content(value.data)


def _array_content(array: NDArray[np.generic]) -> Iterator[bytes]:
    portable = array.astype(array.dtype.newbyteorder("<"), copy=False)
    yield f"{portable.dtype.str} {portable.shape}".encode()
    yield portable.tobytes()


def _repeats(digests: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """Give (place, place of the first) of each digest that stood before."""
    codes = digests.combine_chunks().dictionary_encode().indices.to_numpy()
    _, firsts, inverse = np.unique(codes, return_index=True, return_inverse=True)
    first = firsts[inverse]
    for place in np.flatnonzero(first != np.arange(len(codes))):
        yield int(place), int(first[place])


@lru_cache(maxsize=8)
def _duplicates(content: bytes) -> dict[tuple[int, str], tuple[int, str]]:
    lines = (json.loads(line) for line in content.splitlines())
    return {(row, key): (kept_row, kept_key) for row, key, kept_row, kept_key in lines}
