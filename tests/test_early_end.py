"""A build in which more rows fail than its recipe allows ends as soon as that is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmdata.builder import Progress, build
from mmdata.errors import TooManyRejectsError
from tests.corpus import make_corpus, picture, recipe_data

BROKEN = (1, 2, 9, 16)
LEARNING = ["image.decode", {"image.resize": {"size": 16}}, {"image.crop": {"size": 16}}, "image.normalize"]


def broken_corpus(folder: Path) -> Path:
    """Return the manifest of a corpus with four pictures that are none, and `x` for the captions of these."""
    manifest = make_corpus(folder)
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    for row in BROKEN:
        (folder / f"files/{row}.png").write_bytes(b"no picture")
        lines[row]["text"] = "x"
    manifest.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return manifest


def small_recipe(manifest: Path, stages: Sequence[Any], **changes: Any) -> dict[str, Any]:
    """Return a recipe of pictures and texts in one split."""
    fields = {"image": {"kind": "image"}, "text": {"kind": "text"}}
    return recipe_data(manifest, fields=fields, stages=list(stages), split={}, max_rejects=3, **changes)


def phases_until_the_end(recipe: dict[str, Any], out: Path) -> tuple[list[str], str]:
    """Build until too many rows failed; return the passes that were begun, and what the error says."""
    seen: list[Progress] = []
    with pytest.raises(TooManyRejectsError) as caught:
        build(recipe, out, workers=1, progress=seen.append)
    assert not list(out.rglob("*.tar"))
    return list(dict.fromkeys(one.phase for one in seen)), str(caught.value)


@pytest.mark.parametrize(
    "stages",
    [
        LEARNING,
        ["text.normalize", *LEARNING, {"text.tokenize": {"vocabulary": 300}}],
        ["text.normalize", "image.decode", {"image.resize": {"size": 16}}, "record.deduplicate", "text.normalize"],
    ],
    ids=["learning", "behind a stage that the pass skips", "judging"],
)
def test_a_build_ends_with_the_pass_that_shows_it(tmp_path: Path, stages: Sequence[Any]) -> None:
    """No later pass begins and no shard is made; the reasons are told, and mended files are all that it needs to go on."""
    recipe = small_recipe(broken_corpus(tmp_path / "corpus"), stages)
    for _ in range(2):  # the second time, too, whatever the first has left
        phases, error = phases_until_the_end(recipe, tmp_path / "out")
        assert len(phases) == 1
        first, reason, advice = error.splitlines()
        assert first == "4 of 24 rows were rejected as errors; max_rejects allows 3."
        assert reason.lstrip().startswith("4  image.decode: not a known picture format; such as row 1 'row/001'")
        assert advice.startswith("No shard was made yet")
    for row in BROKEN:
        (tmp_path / f"corpus/files/{row}.png").write_bytes(picture(row))
    for name in ("out", "again"):
        build(recipe, tmp_path / name, workers=1)
    files = [file.relative_to(tmp_path / "again") for file in (tmp_path / "again").rglob("*") if file.is_file()]
    assert all((tmp_path / "out" / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)


def test_rows_that_a_filter_turns_away_are_no_errors(tmp_path: Path) -> None:
    """A pass over pictures skips what looks at texts alone; a row that fails there is not one that the build rejects for it."""
    wanted = {"record.where": {"expression": "text.characters > 3"}}
    recipe = small_recipe(broken_corpus(tmp_path / "corpus"), [wanted, *LEARNING]) | {"max_rejects": 0}
    build(recipe, tmp_path / "out", workers=1)
    rejects = pq.read_table(tmp_path / "out/rejects.parquet").to_pylist()
    assert {one["row"]: one["kind"] for one in rejects} == dict.fromkeys(BROKEN, "filtered")


def test_rows_of_several_passes_are_counted_once(tmp_path: Path) -> None:
    """Four rows that fail in each of two passes are four; with a fifth in the listing they are too many."""
    manifest = broken_corpus(tmp_path / "corpus")
    recipe = small_recipe(manifest, ["image.decode", "record.deduplicate", *LEARNING[1:]]) | {"max_rejects": 4}
    build(recipe, tmp_path / "four", workers=1)
    with manifest.open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    phases, error = phases_until_the_end(recipe, tmp_path / "five")
    assert phases == ["record.deduplicate"]
    assert [line.split(maxsplit=2)[:2] for line in error.splitlines()[1:3]] == [["4", "image.decode:"], ["1", "source:"]]


def test_a_listing_that_is_broken_ends_it_before_anything_is_read(tmp_path: Path) -> None:
    """Rows that cannot be listed are known from the beginning."""
    manifest = make_corpus(tmp_path / "corpus")
    with manifest.open("a", encoding="utf-8") as file:
        file.write("{broken\n" * 4)
    shutil.rmtree(tmp_path / "corpus/files")
    phases, error = phases_until_the_end(small_recipe(manifest, LEARNING), tmp_path / "out")
    assert phases == []
    assert error.startswith("4 of 28 rows were rejected as errors; max_rejects allows 3.\n")
