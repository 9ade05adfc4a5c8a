"""No false alarm: what the bundled recipes build keeps every promise. The recipe for clips has a test of its own with films."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdata.builder import build
from mmdata.recipe import Recipe
from mmdata.validation.checks import validate
from tests.corpus import make_corpus

SETTINGS: dict[str, list[str]] = {
    "captions": ["stages.image.filter.minimum_width=16", "stages.image.filter.minimum_height=16"],
    "private": [],
    "speech": ["shards.rows=5"],
    "stamps": ["shards.rows=5"],
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus with the columns that the recipes name, texts with personal data, and a file that is broken."""
    path = make_corpus(tmp_path_factory.mktemp("corpus") / "corpus", 12)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows):
        row |= {"lang": "en", "stamp": row["group"], "labels": ["animal"], "text": f"{row['text']}, ask ann{number}@example.org"}
    (path.parent / "files/7.png").write_bytes((path.parent / "files/7.png").read_bytes()[:-40])
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SETTINGS)
def test_a_bundled_recipe_gives_no_finding(manifest: Path, tmp_path: Path, name: str) -> None:
    """Pictures and texts, sounds and texts, all three: nothing to complain of, and there is something to check."""
    settings = [f"source.path={manifest}", "stages.text.tokenize.vocabulary=300", "split.val=0.3", *SETTINGS[name]]
    build(Recipe.load(name, settings), tmp_path / "out", workers=1)
    report = validate(tmp_path / "out")
    assert report.findings == []
    assert report.counts["records"] > 5


def test_the_demo_gives_no_finding(tmp_path: Path) -> None:
    """The embedded corpus, flaws and all."""
    build(Recipe.load("demo", ["stages.text.tokenize.vocabulary=300"]), tmp_path / "out", workers=1, limit=24)
    report = validate(tmp_path / "out")
    assert report.findings == []
    assert {check.name for check in report.checks if not check.items} == {"annotations"}
