"""Stages over whole records in a build: what a fit pass sees of them, and what the dataset then says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import mmdata
from mmdata.builder import build
from mmdata.dataset import Dataset
from mmdata.files import sha256_of
from mmdata.recipe import Recipe
from tests.corpus import make_corpus, recipe_data


def built(manifest: Path, out: Path, *stages: Any, workers: int = 1, **changes: Any) -> Dataset:
    """Build with these stages."""
    return build(Recipe.from_data(recipe_data(manifest, stages=list(stages), **changes)), out, workers=workers)


def rejects(out: Path) -> dict[int, tuple[str, str, str]]:
    """Return stage, reason and detail of each reject by row."""
    rows = pq.read_table(out / "rejects.parquet").to_pylist()
    return {row["row"]: (row["stage"], row["reason"], row["detail"]) for row in rows}


def edited(manifest: Path, row: int, **changes: Any) -> None:
    """Change columns of one row."""
    lines = manifest.read_text(encoding="utf-8").splitlines()
    lines[row] = json.dumps({**json.loads(lines[row]), **changes})
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_all_of_them_in_one_build(tmp_path: Path) -> None:
    """Any number of workers gives the same bytes, every row is accounted for, and the finished folder is valid."""
    manifest = make_corpus(tmp_path / "corpus")
    stages: list[Any] = [
        {"record.where": {"expression": "number != 3"}},
        "image.decode",
        "audio.decode",
        {"record.deduplicate": {"method": "near", "fields": ["image", "audio"]}},
        {"record.balance": {"by": "number", "most": 5}},
        {"record.sample": {"share": 0.9}},
        {"record.where": {"expression": "audio.seconds < 20 and image.width == 40"}},
        {"image.resize": {"size": 16}},
        "image.normalize",
        {"text.tokenize": {"vocabulary": 300}},
        {"record.rename": {"fields": {"image": "picture", "audio": "speech"}, "metadata": {"number": "place"}}},
        {"record.drop": {"metadata": ["tags"]}},
        {"record.where": {"expression": "speech.seconds > 0 and place >= 0"}},
    ]
    output = {"picture": {"format": "png"}}
    for workers in (1, 2):
        built(manifest, tmp_path / f"out{workers}", *stages, workers=workers, output=output)
    files = [path.relative_to(tmp_path / "out1") for path in sorted((tmp_path / "out1").rglob("*")) if path.is_file()]
    assert all(sha256_of(tmp_path / "out1" / file) == sha256_of(tmp_path / "out2" / file) for file in files)
    dataset = mmdata.open(tmp_path / "out1")
    record = next(iter(dataset))
    assert sorted(record.fields) == ["picture", "speech", "text", "tokens"]
    assert list(record.metadata) == ["place"]
    assert {"mean", "deviation"} <= dataset.description["statistics"]["picture"].keys()
    assert "image" not in dataset.description["statistics"]
    assert rejects(tmp_path / "out1")[3] == ("record.where", "where: number != 3 is false", "number is 3")
    report = mmdata.validate(tmp_path / "out1")
    assert not report.errors, report


def test_a_row_that_was_turned_away_is_not_the_one_kept(tmp_path: Path) -> None:
    """Row 2 looks like row 1, which lacks its sound: row 2 stays, though the pass compares pictures alone."""
    manifest = make_corpus(tmp_path / "corpus", rows=6)
    edited(manifest, 1, audio=None)
    edited(manifest, 2, image="files/1.png")
    edited(manifest, 5, image="files/1.png")
    stages = [
        {"record.require": {"fields": ["audio"]}},
        {"record.deduplicate": {"fields": ["image"]}},
        "image.decode",
        "audio.decode",
    ]
    dataset = built(manifest, tmp_path / "out", *stages)
    assert {record.origin.row for record in dataset} == {0, 2, 3, 4}
    found = rejects(tmp_path / "out")
    assert found[1] == ("record.require", "audio is missing", "")
    assert found[5][1:] == ("same content as an earlier row", found[5][2])
    assert found[5][2].startswith("row_002-")


def test_balance_is_exact_whatever_other_stages_turn_away(tmp_path: Path) -> None:
    """What was filtered before is not counted."""
    manifest = make_corpus(tmp_path / "corpus")
    for row in range(24):
        edited(manifest, row, lang="fr" if row % 4 else "de")
    stages = [{"record.where": {"expression": "number >= 4"}}, {"record.balance": {"by": "lang", "proportions": "equal"}}]
    metadata = {"number": "int", "lang": "str"}
    dataset = built(manifest, tmp_path / "out", *stages, "image.decode", "audio.decode", metadata=metadata, split={})
    assert Counter(record.metadata["lang"] for record in dataset) == {"fr": 5, "de": 5}


def test_what_is_filtered_by_metadata_is_not_learned_from(tmp_path: Path) -> None:
    """A stage that reads no field runs in every fit pass after it: no word of the other rows is in the vocabulary."""
    manifest = make_corpus(tmp_path / "corpus")
    for row in range(12, 24):
        edited(manifest, row, text="zzzzzz zzzzzz")
    stages = [
        {"record.where": {"expression": "number < 12"}},
        "image.decode",
        "audio.decode",
        {"text.tokenize": {"vocabulary": 400}},
    ]
    built(manifest, tmp_path / "out", *stages)
    vocabulary = json.loads((tmp_path / "out/artifacts/tokenizer.json").read_bytes())["model"]["vocab"]
    assert not [piece for piece in vocabulary if "zz" in piece]
