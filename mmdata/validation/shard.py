"""Checks one shard: its bytes, its index, and every record in it. A pure function, so shards can be checked in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmdata.codec import METADATA_MEMBER, Codec
from mmdata.dataset import Shard
from mmdata.files import sha256_of
from mmdata.validation.annotations import check_annotations
from mmdata.validation.blocks import BlockReader, Found
from mmdata.validation.clips import read_clip
from mmdata.validation.described import Described, check_agrees, check_key, check_said, read_described, shape_of
from mmdata.validation.description import Promised
from mmdata.validation.findings import Ledger, Notes
from mmdata.validation.index import IndexRows, Row, check_order, check_places, read_index
from mmdata.validation.payloads import check_measures, read_payload
from mmdata.validation.strict_json import Shape
from mmdata.validation.tokens import Encoder, check_encoding, check_tokens, encoders_of
from mmdata.values import Array, Text, Value

_MOST_MEMBERS = 64
"""Members of a record that are looked at where nothing says how many it has."""
_DTYPES: dict[str, type] = {"int": np.int64, "float": np.float64}


@dataclass(frozen=True)
class Facts:
    """What a shard says that must fit with the other shards: key, row and group of every record, and numeric measures.

    `rows` is None where the index, which alone tells them, cannot be read.
    """

    shard: Shard
    keys: Sequence[str] = ()
    rows: Sequence[int] | None = ()
    groups: Sequence[str] = ()
    measures: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def check_shard(out: Path, shard: Shard, promised: Promised) -> tuple[Ledger, Facts]:
    """Check a shard; return what was found, and its facts. Damage of any kind is a finding, never an exception."""
    ledger = Ledger()
    notes = Notes(ledger, shard.file)
    index = read_index(out, shard, promised, notes)
    path = out / shard.file
    said: list[Described] = []
    if path.is_file():
        try:
            if promised.has_shards:
                _check_bytes(path, shard, notes)
            said = _check_tar(path, index, RecordCheck(out, shard, promised), notes)
        except OSError as error:
            notes.error("files", f"it cannot be read: {error.strerror}")
    return ledger, _facts(shard, index, said, promised.codec)


def _check_bytes(path: Path, shard: Shard, notes: Notes) -> None:
    notes.covered("checksums")
    if (size := path.stat().st_size) != shard.bytes:
        notes.error("checksums", f"it has {size} bytes, dataset.json says {shard.bytes}")
    elif sha256_of(path) != shard.sha256:
        notes.error("checksums", "its sha256 differs from the one in dataset.json: it was changed or damaged")


def _check_tar(path: Path, index: IndexRows | None, check: RecordCheck, notes: Notes) -> list[Described]:
    rows = {row["key"]: row for row in index.rows} if index else {}
    keys: dict[str, None] = {}
    said = []
    with path.open("rb") as file:
        for key, found in groupby(BlockReader(file, index.members() if index else {}, notes), key=lambda member: member.key):
            if key in keys:
                notes.at(key).error("members", "its members do not stand together, or it is there twice")
            keys[key] = None
            members = list(islice(found, check.most_members(index)))
            described = check(key, members, rows.get(key), index.extensions if index else (), notes)
            said += [described] if described is not None else []
    if index is not None:
        check_order(list(keys), index, notes)
    if check.promised.has_shards and len(keys) != check.shard.records:
        notes.error("counts", f"it holds {len(keys)} records, dataset.json says {check.shard.records}")
    return said


def _facts(shard: Shard, index: IndexRows | None, said: Iterable[Described], codec: Codec | None) -> Facts:
    """Return the facts by the index, or by the records themselves where it cannot be read."""
    rows: list[Row] = list(index.rows) if index else [{**one.said, **one.measures} for one in said]
    types = {name: _DTYPES[type_] for name, type_ in (codec.measures if codec else {}).items() if type_ in _DTYPES}
    measures = {name: _numbers([row[name] for row in rows], dtype) for name, dtype in types.items()}
    numbers = [row["row"] for row in rows] if index else None
    return Facts(shard, [row["key"] for row in rows], numbers, [row["group"] for row in rows], measures)


def _numbers(values: Sequence[Any], dtype: type) -> NDArray[Any]:
    """Return values as an array; an empty one where a number is too large to be one, as only a damaged record has it."""
    try:
        return np.array(values, dtype)
    except OverflowError:
        return np.empty(0, dtype)


@dataclass(frozen=True)
class RecordCheck:
    """Checks the members of one record after the other."""

    out: Path
    shard: Shard
    promised: Promised

    @cached_property
    def _shape(self) -> Shape:
        return shape_of(self._codec)

    @cached_property
    def _encoders(self) -> dict[str, Encoder]:
        return encoders_of(self.out, self.promised)

    def most_members(self, index: IndexRows | None) -> int:
        """Return how many members of a record are worth keeping in memory: one more than it may have."""
        expected = self._codec.extensions if self.promised.codec else index.extensions if index else ()
        return len(expected) + 1 if expected else _MOST_MEMBERS

    @property
    def _codec(self) -> Codec:
        assert self.promised.codec is not None
        return self.promised.codec

    def __call__(
        self, key: str, found: Sequence[Found], row: Row | None, indexed: Sequence[str], notes: Notes
    ) -> Described | None:
        """Check one record; return what its json member says, where that can be relied upon."""
        check_key(key, notes.at(key))
        members = {member.extension: member for member in found}
        expected = self._codec.extensions if self.promised.codec else sorted(indexed)
        self._check_extensions([member.extension for member in found], expected, notes.at(key))
        if row is not None:
            check_places(members, row, notes)
        if self.promised.codec is None or METADATA_MEMBER not in members:
            return None
        return self._check_content(key, members, row, notes)

    def _check_extensions(self, found: Sequence[str], expected: Sequence[str], notes: Notes) -> None:
        notes.covered("members")
        if expected and list(found) != list(expected):
            notes.error("members", f"its members are {', '.join(found)}; they must be {', '.join(expected)}, in this order")

    def _check_content(self, key: str, members: Mapping[str, Found], row: Row | None, notes: Notes) -> Described | None:
        json_notes = notes.at(key, METADATA_MEMBER)
        described = read_described(members[METADATA_MEMBER].payload, self._shape, json_notes)
        if described is not None:
            check_said(described, key, self.shard.split, self._codec, json_notes)
            if row is not None:
                check_agrees(described, row, json_notes)
        measures = row if row is not None else described.measures if described else None
        values = dict(self._values(key, members, measures, described, notes))
        if described is not None:
            kinds = {name: type_.kind for name, type_ in self._codec.schema.fields.items()}
            check_annotations(values, described, kinds, json_notes)
            self._check_tokens(key, values, described, notes)
        return described

    def _values(
        self,
        key: str,
        members: Mapping[str, Found],
        measures: Mapping[str, Any] | None,
        described: Described | None,
        notes: Notes,
    ) -> Iterator[tuple[str, Value | None]]:
        """Decode the payloads that are there; yield the values by field, without those that do not decode."""
        for extension, (name, format_) in self._codec.members.items():
            if extension not in members:
                continue
            type_, payload = self._codec.schema.fields[name], members[extension].payload
            at = notes.at(key, extension)
            value: Value | None
            if payload:
                if (value := read_payload(payload, format_, type_, at)) is None:
                    continue
            else:
                # A text without characters has no bytes, as has one that is absent.
                value = Text("") if type_.kind == "text" else None
            if type_.kind == "video" and value is not None and (value := read_clip(name, value, described, at)) is None:
                continue
            if isinstance(value, Text) and value.text.startswith("\ufeff"):
                at.warning("payloads", "the text begins with a byte order mark")
            if measures is not None:
                check_measures(name, value, type_, measures, at)
            yield name, value

    def _check_tokens(self, key: str, values: Mapping[str, Value | None], described: Described, notes: Notes) -> None:
        for extension, (name, _) in self._codec.members.items():
            type_ = self._codec.schema.fields[name]
            value, text = values.get(name), values.get(type_.text or "")
            if type_.kind != "tokens" or not isinstance(value, Array):
                continue
            at = notes.at(key, extension)
            held = described.annotations.get(name, {})
            if not isinstance(held, dict):
                continue
            stored = text.text if isinstance(text, Text) else None
            is_sound = check_tokens(value, type_, held, stored, at)
            if is_sound and stored is not None and name in self._encoders:
                check_encoding(value, held.get("offsets", []), stored, self._encoders[name], at)
