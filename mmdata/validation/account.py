"""Checks what only all shards together can show: unique keys, whole groups, the account of every row, the statistics."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from mmdata.dataset import DESCRIPTION
from mmdata.parquet import read_table
from mmdata.plan import split_of
from mmdata.recipe import SplitSpec
from mmdata.summary import REJECTS_SCHEMA
from mmdata.validation.description import Promised
from mmdata.validation.findings import Notes, shown
from mmdata.validation.folder import REJECTS
from mmdata.validation.shard import Facts
from mmdata.validation.tables import check_rows

_KINDS = ("error", "filtered", "duplicate")
_PART = re.compile(r"-[0-9]{4,}$")
_STATISTICS = ("count", "mean", "minimum", "maximum")


def check_across(out: Path, facts: Sequence[Facts], promised: Promised, notes: Notes) -> None:
    """Check the promises that concern more than one shard."""
    _check_keys(facts, notes)
    _check_groups(facts, notes)
    _check_splits(facts, promised, notes)
    rejects = _read_rejects(out, notes.on(REJECTS))
    if "counts" in promised.parts:
        _check_counts(facts, rejects, promised, notes.on(DESCRIPTION))
        if rejects is not None and all(one.rows is not None for one in facts):
            _check_rows(facts, rejects, promised.parts["counts"]["rows"], notes.on(REJECTS))
    if "statistics" in promised.parts and promised.codec is not None:
        _check_statistics(facts, promised, notes.on(DESCRIPTION))


def _check_keys(facts: Sequence[Facts], notes: Notes) -> None:
    first: dict[str, str] = {}
    for one in facts:
        for key in one.keys:
            if key in first:
                notes.on(one.shard.file).at(key).error("keys", f"its key stands in {first[key]} too; keys must be unique")
            first.setdefault(key, one.shard.file)


def _check_groups(facts: Sequence[Facts], notes: Notes) -> None:
    first: dict[str, Facts] = {}
    noted: set[str] = set()
    for one in facts:
        for key, group in zip(one.keys, one.groups, strict=True):
            notes.covered("groups")
            other = first.setdefault(group, one)
            if other.shard.split != one.shard.split and group not in noted:
                noted.add(group)
                told = f"its group {shown(group)} is in {one.shard.split} and in {other.shard.split} ({other.shard.file})"
                notes.on(one.shard.file).at(key).error("groups", told)


def _check_splits(facts: Sequence[Facts], promised: Promised, notes: Notes) -> None:
    """Check that each record is in the split that the recipe gives its group."""
    recipe = promised.parts.get("recipe", {})
    try:
        spec = SplitSpec.model_validate(recipe.get("split"))
    except ValidationError:
        return
    if type(seed := recipe.get("seed")) is not int:
        return
    for one in facts:
        for key, group in zip(one.keys, one.groups, strict=True):
            if (wanted := split_of(group, spec, seed)) != one.shard.split:
                told = f"it is in {one.shard.split}, but the recipe puts its group {shown(group)} into {wanted}"
                notes.on(one.shard.file).at(key).error("groups", told)


def _read_rejects(out: Path, notes: Notes) -> pa.Table | None:
    """Read and check the rejects; None where they are missing or cannot be relied upon."""
    if not (out / REJECTS).is_file():
        return None
    try:
        check_rows(out / REJECTS)
        table = read_table(out / REJECTS)
        is_whole = table.schema.remove_metadata().equals(REJECTS_SCHEMA)
        if is_whole:
            for name in ("row", "kind", "key", "stage", "reason", "detail"):
                table.column(name).to_pylist()
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        notes.error("rejects", f"it cannot be read: {error}")
        return None
    if not is_whole:
        found = ", ".join(f"{field.name} {field.type}" for field in table.schema)
        notes.error("rejects", f"its columns must be {', '.join(REJECTS_SCHEMA.names)}; found {found}")
        return None
    _check_rejects(table, notes)
    return None if table.column("row").null_count else table


def _check_rejects(table: pa.Table, notes: Notes) -> None:
    notes.covered("rejects", table.num_rows)
    for name in table.column_names:
        if count := table.column(name).null_count:
            notes.error("rejects", f"{count} values of the column {name!r} are null")
    for kind in set(table.column("kind").to_pylist()) - {*_KINDS}:
        notes.error("rejects", f"{shown(kind)} is no kind of reject; there are {', '.join(_KINDS)}")
    for name in ("stage", "reason"):
        if "" in table.column(name).to_pylist():
            notes.error("rejects", f"the {name} of a reject is empty")


def _check_counts(facts: Sequence[Facts], rejects: pa.Table | None, promised: Promised, notes: Notes) -> None:
    counts = promised.parts["counts"]
    splits: Counter[str] = Counter()
    for one in facts:
        splits[one.shard.split] += len(one.keys)
    actual: dict[str, Any] = {
        "records": (counts["records"], splits.total()),
        "splits": (counts["splits"], dict(splits)),
        "rows_rejected": (counts["rows_rejected"], counts["rows"] - counts["rows_written"]),
    }
    if all(one.rows is not None for one in facts):
        actual["rows_written"] = (counts["rows_written"], len({row for one in facts for row in one.rows or ()}))
    if promised.has_shards:
        actual["records of the shards"] = (sum(shard.records for shard in promised.shards), splits.total())
    if rejects is not None:
        kinds = Counter(rejects.column("kind").to_pylist())
        actual["rejects"] = (counts["rejects"], {kind: kinds[kind] for kind in _KINDS})
    identity = promised.parts.get("identity", {}).get("rows")
    if isinstance(identity, dict):
        actual["identity's rows"] = (identity.get("count"), counts["rows"])
    for name, (told, found) in actual.items():
        notes.covered("counts")
        if told != found:
            notes.error("counts", f"{name}: {shown(told)} by dataset.json, {shown(found)} by count")


def _check_rows(facts: Sequence[Facts], rejects: pa.Table, count: int, notes: Notes) -> None:
    """Check that every input row is in exactly one place; a row of several records may be in both."""
    written: dict[int, list[str]] = {}
    for one in facts:
        for key, row in zip(one.keys, one.rows or (), strict=True):
            written.setdefault(row, []).append(key)
    rejected = set(rejects.column("row").to_pylist())
    notes.covered("rows", count)
    known = written.keys() | rejected
    if missing := count - sum(1 for row in known if 0 <= row < count):
        rows = list(islice((row for row in range(count) if row not in known), 3))
        notes.error("rows", f"{missing} of {count} input rows are neither written nor rejected, such as {rows}")
    if beyond := sorted(row for row in known if not 0 <= row < count):
        notes.error("rows", f"rows {beyond[:3]} are named, but the source has the rows 0 to {count - 1}")
    for row, keys in written.items():
        if len(keys) > 1 and not all(map(_PART.search, keys)):
            notes.at(keys[0]).error("rows", f"row {row} gave {len(keys)} records, which are not numbered as parts of it")
    for row, key in zip(rejects.column("row").to_pylist(), rejects.column("key").to_pylist(), strict=True):
        if row in written and not (_PART.search(key or "") and all(map(_PART.search, written[row]))):
            notes.at(written[row][0]).error("rows", f"row {row} is written, and rejected as well (as {shown(key)})")


def _check_statistics(facts: Sequence[Facts], promised: Promised, notes: Notes) -> None:
    assert promised.codec is not None
    told = promised.parts["statistics"]
    numeric = [name for name, type_ in promised.codec.measures.items() if type_ in {"int", "float"}]
    for name in numeric:
        values = [one.measures[name] for one in facts if name in one.measures and len(one.measures[name])]
        if not values:
            continue
        notes.covered("statistics")
        actual = statistics_of(np.concatenate(values))
        if not _agree(told.get(name), actual):
            notes.error("statistics", f"{name}: {shown(told.get(name))} by dataset.json, {actual} by the index")
    known = {*numeric, *promised.codec.schema.fields}
    notes_of = [name for name in told if name not in known and name.partition(".")[0] not in known]
    for name in notes_of:
        notes.error("statistics", f"{shown(name)} is neither a measure nor a field")


def statistics_of(values: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return count, mean, minimum and maximum of the values of a measure."""
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged index may hold any number
        mean = float(values.mean())
    numbers = (len(values), mean, values.min().item(), values.max().item())
    return dict(zip(_STATISTICS, numbers, strict=True))


def _agree(told: object, actual: Mapping[str, float]) -> bool:
    if not isinstance(told, Mapping):
        return False
    pairs = [(told.get(name), actual[name]) for name in _STATISTICS]
    # The mean is a sum in some order; all else is exact, and within this as well.
    return all(type(one) in {int, float} and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12) for one, other in pairs)  # type: ignore[arg-type]
