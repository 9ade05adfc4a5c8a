"""Damage to rejects and dataset.json is found and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.validation.damage import (
    TRAIN,
    Damage,
    Named,
    append,
    assert_found,
    described,
    endless,
    nested,
    rejected,
    replace_in,
    rewritten,
    unseal,
)
from tests.validation.datasets import with_value

J, T = "json", "tokens.npy"
DAMAGE: dict[str, tuple[Damage, Named]] = {
    "a row in no place": (rejected(lambda table: table.slice(1)), ("rows", "rejects.parquet", None, None)),
    "a row in both places": (
        rejected(lambda table: with_value(table, "row", 0, 2)),
        ("rows", "rejects.parquet", "row-002", None),
    ),
    "a row beyond the source": (
        rejected(lambda table: with_value(table, "row", 0, 77)),
        ("rows", "rejects.parquet", None, None),
    ),
    "an unknown kind": (
        rejected(lambda table: with_value(table, "kind", 0, "bad")),
        ("rejects", "rejects.parquet", None, None),
    ),
    "no reason": (
        rejected(lambda table: with_value(table, "reason", 0, "")),
        ("rejects", "rejects.parquet", None, None),
    ),
    "rejects without a column": (
        rejected(lambda table: table.drop_columns(["detail"])),
        ("rejects", "rejects.parquet", None, None),
    ),
    "dataset.json that is no JSON": (lambda out: append(out, "dataset.json", b"}"), ("description", "dataset.json", None, None)),
    "dataset.json that is empty": (rewritten("dataset.json", ""), ("description", "dataset.json", None, None)),
    "dataset.json nested without end": (
        rewritten("dataset.json", "[" * 200_000),
        ("description", "dataset.json", None, None),
    ),
    "dataset.json with a valid JSON that is nested too deeply": (
        described(lambda data: data["versions"].update(mmdata=nested(500))),
        ("description", "dataset.json", None, None),
    ),
    "dataset.json with a number spelled otherwise": (
        lambda out: replace_in(out, "dataset.json", b'"format":1', b'"format":1.0'),
        ("description", "dataset.json", None, None),
    ),
    "dataset.json with a space": (
        lambda out: replace_in(out, "dataset.json", b'"format":1', b'"format": 1'),
        ("description", "dataset.json", None, None),
    ),
    "dataset.json with a number that is not finite": (
        lambda out: replace_in(out, "dataset.json", b'"format":1', b'"format":1e999'),
        ("description", "dataset.json", None, None),
    ),
    "dataset.json with half a character": (
        lambda out: replace_in(out, "dataset.json", b'"name":"small"', b'"name":"\\ud800"'),
        ("description", "dataset.json", None, None),
    ),
    "more rejects than any file could hold": (
        lambda out: (out / "rejects.parquet").write_bytes(endless("row")),
        ("rejects", "rejects.parquet", None, None),
    ),
    "dataset.json changed": (unseal, ("description", "dataset.json", None, None)),
    "another fingerprint": (
        described(lambda data: data.update(fingerprint="0" * 64)),
        ("description", "dataset.json", None, None),
    ),
    "an unknown key": (described(lambda data: data.update(more=1)), ("description", "dataset.json", None, None)),
    "a missing key": (described(lambda data: data.pop("members")), ("description", "dataset.json", None, None)),
    "a count of another type": (
        described(lambda data: data["counts"].update(rows="13")),
        ("description", "dataset.json", None, None),
    ),
    "a shard outside of the folder": (
        described(lambda data: data["shards"]["train"][0].update(file="../x.tar")),
        ("description", "dataset.json", None, None),
    ),
    "an unknown field kind": (
        described(lambda data: data["schema"]["fields"]["image"].update(kind="smell")),
        ("description", "dataset.json", None, None),
    ),
    "members that do not fit the schema": (
        described(lambda data: data["members"].update(png="text")),
        ("description", "dataset.json", None, None),
    ),
    "counts that do not add up": (
        described(lambda data: data["counts"].update(rows_written=9)),
        ("counts", "dataset.json", None, None),
    ),
    "splits that do not add up": (
        described(lambda data: data["counts"]["splits"].update(val=2)),
        ("counts", "dataset.json", None, None),
    ),
    "kinds of rejects that do not add up": (
        described(lambda data: data["counts"]["rejects"].update(error=2)),
        ("counts", "dataset.json", None, None),
    ),
    "a shard with more records": (
        described(lambda data: data["shards"]["train"][0].update(records=5)),
        ("counts", TRAIN, None, None),
    ),
    "shards in another order": (
        described(lambda data: data["shards"]["train"].reverse()),
        ("files", "train-000001.tar", None, None),
    ),
    "an index not listed": (
        described(lambda data: data["index"].pop("rejects.parquet")),
        ("description", "dataset.json", None, None),
    ),
    "other statistics": (
        described(lambda data: data["statistics"]["audio.snr"].update(mean=0.0)),
        ("statistics", "dataset.json", None, None),
    ),
    "a schema with another rate": (
        described(lambda data: data["schema"]["fields"]["audio"].update(rate=16000)),
        ("payloads", TRAIN, "row-000", "flac"),
    ),
    "a schema with another vocabulary": (
        described(lambda data: data["schema"]["fields"]["tokens"].update(vocabulary=2)),
        ("tokens", TRAIN, "row-000", T),
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_named(out: Path, name: str) -> None:
    """The finding names the check, the file, the record and the member."""
    assert_found(out, *DAMAGE[name])
