"""Checks the json member of a record: its keys and types, and that it says the same as the index and the shard."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmdata.codec import Codec
from mmdata.keys import is_key, key_for
from mmdata.validation.findings import Notes, shown
from mmdata.validation.index import Row, is_json
from mmdata.validation.strict_json import Shape, mismatches, strict_json

_TYPES: dict[str, type] = {"str": str, "json": str, "int": int, "float": float, "bool": bool}
_INPUT: Shape = {"uri": str, "sha256": str, "bytes": int}
_PARTS = re.compile(r"(-[0-9]{4,})+")
_SAME = ("key", "source_key", "split", "group")


@dataclass(frozen=True)
class Described:
    """What a json member says, once its shape is known to be right; annotations and lineage by field, parsed."""

    said: Mapping[str, Any]
    annotations: Mapping[str, Any]
    lineage: Mapping[str, Any]

    @property
    def measures(self) -> Mapping[str, Any]:
        """Measures by `FIELD.MEASURE`."""
        found: Mapping[str, Any] = self.said.get("measures", {})
        return found

    def input_bytes(self, name: str) -> int | None:
        """Size of the raw input of a field, in bytes; None where it has no input of its own."""
        found = self.said["inputs"].get(name, {"sha256": ""})
        return int(found["bytes"]) if found["sha256"] else None


def shape_of(codec: Codec) -> Shape:
    """Return what the json member of every record of a dataset must hold."""
    metadata = {name: _TYPES[type_] for name, type_ in codec.schema.metadata.items()}
    measures = {name: _TYPES[type_] for name, type_ in codec.measures.items()}
    return {
        "key": str, "source_key": str, "split": str, "group": str, "annotations": str, "lineage": str,
        "inputs": dict.fromkeys(codec.inputs, _INPUT),
        **({"metadata": metadata} if metadata else {}),
        **({"measures": measures} if measures else {}),
    }  # fmt: skip


def read_described(payload: bytes, shape: Shape, notes: Notes) -> Described | None:
    """Return what a json member says; None where it cannot be relied upon, which is noted."""
    notes.covered("json")
    try:
        said = strict_json(payload)
    except ValueError as error:
        notes.error("json", f"it cannot be read as JSON: {error}")
        return None
    problems = list(mismatches(said, shape))
    if problems:
        for problem in problems[:20]:
            notes.error("json", problem)
        return None
    parts = {name: _inside(name, said[name], notes) for name in ("annotations", "lineage")}
    return Described(said, parts["annotations"], parts["lineage"])


def _inside(name: str, text: str, notes: Notes) -> Mapping[str, Any]:
    """Return the object in a JSON text inside of the json member; empty where it is not one."""
    try:
        found = strict_json(text)
    except ValueError as error:
        notes.error("json", f"{name} is not JSON text: {error}")
        return {}
    if not isinstance(found, dict):
        notes.error("json", f"{name} must hold an object by field, not {shown(found)}")
        return {}
    return found


def check_said(described: Described, key: str, split: str, codec: Codec, notes: Notes) -> None:
    """Check what a json member says of its record against the shard: its key, its split, and its origin."""
    said = described.said
    notes.covered("agreement")
    if said["key"] != key:
        notes.error("agreement", f"it is of the record {shown(said['key'])}: the members of two records are mixed")
    wanted = key_for(said["source_key"])
    if said["key"] != wanted and not (said["key"].startswith(f"{wanted}-") and _PARTS.fullmatch(said["key"][len(wanted) :])):
        notes.error("keys", f"its key does not follow from its source key {shown(said['source_key'])}, which gives {wanted}")
    if said["split"] != split:
        notes.error("agreement", f"its split is {shown(said['split'])}, the shard's is {split!r}")
    for name, given in said["inputs"].items():
        is_digest = len(given["sha256"]) == 64 and all(c in "0123456789abcdef" for c in given["sha256"])
        if given["bytes"] < 0 or not (is_digest or given == {"uri": "", "sha256": "", "bytes": 0}):
            notes.error("json", f"inputs.{name} gives no sha256 and size: {shown(given)}")
    for part, types in (("metadata", codec.schema.metadata), ("measures", codec.measures)):
        for name, type_ in types.items():
            if type_ == "json" and not is_json(said[part][name]):
                notes.error("json", f"{part}.{name} must be JSON text, not {shown(said[part][name])}")


def check_agrees(described: Described, row: Row, notes: Notes) -> None:
    """Check that the json member and the index row of a record say the same."""
    said = described.said
    pairs = [(name, said[name], row[name]) for name in _SAME]
    pairs += [(f"input.{name}.sha256", given["sha256"], row[f"input.{name}.sha256"]) for name, given in said["inputs"].items()]
    pairs += [(f"metadata.{name}", value, row[f"metadata.{name}"]) for name, value in said.get("metadata", {}).items()]
    pairs += [(name, value, row[name]) for name, value in described.measures.items()]
    for name, here, there in pairs:
        if here != there:
            notes.error("agreement", f"{name} is {shown(here)} here, {shown(there)} in the index")


def check_key(key: str, notes: Notes) -> None:
    """Check that a key may name a record."""
    notes.covered("keys")
    if not is_key(key):
        notes.error("keys", "its key must be 1 to 80 of letters, digits, '_' and '-', and not begin with '__'")
