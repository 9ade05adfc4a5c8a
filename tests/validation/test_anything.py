"""Whatever stands in a json member, an index or dataset.json, with every checksum adapted: a report comes out, no exception."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmdata.shards.index import ShardIndex
from mmdata.validation.checks import validate
from tests.validation.damage import INDEX, TRAIN, change_index, nested
from tests.validation.datasets import change_json, edit, with_value
from tests.validation.random_damage import chosen

ODD: list[Any] = [
    None, True, -1, 10**30, -(10**300), 2**63, 1e308, 5e-324, "", "x" * 100_000, "\x00\x1b[2J\n<b>", "..", "/etc/passwd", "1",
    [], {}, [[]], [None], [1e308] * 6, [[1, 2, 3, 4]] * 3, [[0, 1e308, 0, 1e-300]], {"a": 1}, nested(60),
    [{"text.tokenize": {"output": [], "max_tokens": 10**30, "add_special": {}}}],
]  # fmt: skip
ODD_CELLS: dict[str, list[Any]] = {
    "string": ["", "x" * 100_000, "<script>\x1b", "train", "__x", "a.b", "../a"],
    "int64": [-1, 0, 2**63 - 1, -(2**63)],
    "uint32": [0, 2**32 - 1],
    "double": [1e308, -1e308, float("nan"), float("inf"), 5e-324],
}
Spoil = Callable[[Path, str, np.random.Generator], object]


def spoil(data: Any, rng: np.random.Generator) -> None:
    """Put something odd in place of one value, at any depth."""
    holder, key = chosen(rng, list(_values(data)))
    holder[key] = chosen(rng, ODD)


def _values(data: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        yield data, key
        if isinstance(value, dict | list):
            yield from _values(value)


def spoil_description(out: Path, key: str, rng: np.random.Generator) -> None:
    """Spoil dataset.json."""
    del key
    edit(out, lambda data: spoil(data, rng))


def spoil_json(out: Path, key: str, rng: np.random.Generator) -> None:
    """Spoil a json member, or what stands in one of its texts."""

    def change(data: dict[str, Any]) -> None:
        part = chosen(rng, ("annotations", "lineage", None))
        held = data if part is None else json.loads(data[part])
        spoil(held, rng)
        if part is not None:
            data[part] = json.dumps(held)

    change_json(out, TRAIN, key, change)


def spoil_index(out: Path, key: str, rng: np.random.Generator) -> None:
    """Spoil a cell of an index."""
    del key

    def change(table: pa.Table) -> pa.Table:
        column = chosen(rng, table.column_names)
        value = chosen(rng, ODD_CELLS[str(table.schema.field(column).type)])
        return with_value(table, column, int(rng.integers(table.num_rows)), value)

    change_index(out, change)


@pytest.mark.parametrize("way", [spoil_description, spoil_json, spoil_index])
def test_anything_at_all_ends_in_a_report(built: Path, tmp_path: Path, way: Spoil) -> None:
    """Huge and endless numbers, nulls, markup, paths, other types: each time a report is written."""
    key = ShardIndex.read(built / INDEX).column("key")[0]
    for number in range(20):
        out = Path(shutil.copytree(built, tmp_path / f"{number}"))
        way(out, key, np.random.default_rng(number))
        report = validate(out, tmp_path / "report")
        assert json.loads((tmp_path / "report/validation.json").read_bytes())["errors"] == report.errors
        shutil.rmtree(out)
