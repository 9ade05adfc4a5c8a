"""The plan: keys, splits and shards are pure functions of the rows' own keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdata.errors import RecipeError, SourceError
from mmdata.plan import Plan, make_plan
from mmdata.recipe import Recipe
from tests.corpus import recipe_data


def plan_of(folder: Path, rows: list[Any], **changes: Any) -> Plan:
    """Plan a corpus of texts; rows that are strings stand in the manifest as they are."""
    folder.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = {"fields": {"text": {"kind": "text"}}, "metadata": {}, "stages": [], "output": {}, "split": {}, **changes}
    return make_plan(Recipe.from_data(recipe_data(folder / "manifest.jsonl", **data)))


def texts(count: int) -> list[dict[str, Any]]:
    """Return rows of text."""
    return [{"key": f"k{row}", "text": f"text {row}", "group": f"g{row // 4}"} for row in range(count)]


def shards(plan: Plan) -> list[tuple[str, ...]]:
    """Return the keys of each shard."""
    return [tuple(row.key for row in task.rows) for task in plan.tasks]


def test_every_row_is_in_one_task_or_rejected(tmp_path: Path) -> None:
    """Bad lines and repeated keys are rejected with their row; all others stand in one task each."""
    rows = [*texts(50), "{broken", json.dumps({"key": "k3", "text": "again"}), json.dumps({"text": "no key"})]
    plan = plan_of(tmp_path, rows)
    planned = [row.row for task in plan.tasks for row in task.rows]
    assert sorted(planned + [reject.row for reject in plan.rejects]) == list(range(53))
    assert {reject.row: reject.reject.reason for reject in plan.rejects}.keys() == {50, 51, 52}
    assert next(one.reject.detail for one in plan.rejects if one.row == 51) == "row 3 has the same key"


def test_shards_have_the_size_asked_for(tmp_path: Path) -> None:
    """Shards have from half to twice as many rows as asked for, and that many on average."""
    sizes = [len(keys) for keys in shards(plan_of(tmp_path, texts(4000), shards={"rows": 40}))]
    assert sum(sizes) == 4000
    assert all(20 <= size <= 80 for size in sizes[:-1])
    assert 30 <= sum(sizes) / len(sizes) <= 50


def test_rows_added_at_the_end_leave_earlier_shards(tmp_path: Path) -> None:
    """Appending rows changes the last shard alone."""
    before = shards(plan_of(tmp_path / "a", texts(1000), shards={"rows": 40}))
    after = shards(plan_of(tmp_path / "b", texts(1010), shards={"rows": 40}))
    assert after[: len(before) - 1] == before[:-1]


def test_row_removed_changes_only_the_shards_around_it(tmp_path: Path) -> None:
    """Shards before a removed row stay, and soon after it they are the same again."""
    rows = texts(2000)
    before = shards(plan_of(tmp_path / "a", rows, shards={"rows": 40}))
    after = shards(plan_of(tmp_path / "b", [row for row in rows if row["key"] != "k700"], shards={"rows": 40}))
    assert len(set(before) - set(after)) <= 3


def test_groups_stay_in_one_split(tmp_path: Path) -> None:
    """All rows of a group share a split, whose share is about what was asked for."""
    plan = plan_of(tmp_path, texts(4000), split={"by": "group", "val": 0.1, "test": 0.2})
    splits: dict[str, set[str]] = {}
    for row in plan.planned:
        splits.setdefault(row.group, set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    counts = {split: sum(row.split == split for row in plan.planned) for split in ("train", "val", "test")}
    assert 300 < counts["val"] < 500
    assert 650 < counts["test"] < 950


def test_shuffle_is_seeded(tmp_path: Path) -> None:
    """A shuffled plan is the same for one seed, another for the next, and has the same rows."""
    options = {"shards": {"rows": 40, "order": "shuffled"}}
    first, again = (shards(plan_of(tmp_path, texts(300), **options)) for _ in range(2))
    other = shards(plan_of(tmp_path, texts(300), seed=1, **options))
    assert first == again != other
    assert sorted(sum(first, ())) == sorted(sum(other, ()))


def test_column_that_no_row_has_is_refused(tmp_path: Path) -> None:
    """A column that is misspelt in the recipe does not make a corpus of empty fields."""
    with pytest.raises(RecipeError, match="no row of the source has a column 'txt'; did you mean 'text'"):
        plan_of(tmp_path, texts(3), fields={"text": {"kind": "text", "column": "txt"}})


def test_a_column_of_groups_that_no_row_has_is_refused(tmp_path: Path) -> None:
    """The column is named, not the rows that are turned away for the want of it."""
    with pytest.raises(RecipeError, match="no row of the source has a column 'grup'; did you mean 'group'"):
        plan_of(tmp_path, texts(3), split={"by": "grup"})


def test_a_column_of_keys_that_no_row_has_is_refused(tmp_path: Path) -> None:
    """The columns that there are are named; one row that has it is enough, and damaged rows do not matter."""
    source = {"type": "manifest", "path": str(tmp_path / "manifest.jsonl"), "key": "kye"}
    with pytest.raises(SourceError, match="has no column 'kye' for the key; there are key, text, group"):
        plan_of(tmp_path, ["{broken", *texts(3)], source=source)
    plan = plan_of(tmp_path, ["{broken", *texts(3), {"kye": "one", "text": "text"}], source=source)
    assert [row.key for row in plan.planned] == ["one"]


def test_listing_enters_the_fingerprint(tmp_path: Path) -> None:
    """Another text is another build, another unused column is not."""
    rows = texts(5)
    first = plan_of(tmp_path, rows).fingerprint
    assert plan_of(tmp_path, [{**row, "unused": 1} for row in rows]).fingerprint == first
    assert plan_of(tmp_path, [{**rows[0], "text": "other"}, *rows[1:]]).fingerprint != first
