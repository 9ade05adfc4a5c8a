"""A user's own stage: the example of docs/stages.md, written to a file, built with by two workers, validated."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

import mmdata
from mmdata.errors import RecipeError
from mmdata.files import sha256_of
from mmdata.recipe import Recipe
from tests.corpus import make_corpus, recipe_data

_PAGE = Path(__file__).parents[2] / "docs/stages.md"


def blocks(language: str) -> list[str]:
    """Return the code blocks of the page in this language."""
    return re.findall(rf"```{language}\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a corpus, the module and the recipe of the page; one recording is nearly silent, one row has none."""
    import numpy as np
    import soundfile

    manifest = make_corpus(tmp_path / "corpus", rows=9)
    soundfile.write(tmp_path / "corpus/files/3.wav", np.full(8000, 1e-4), 16000)
    lines = manifest.read_text(encoding="utf-8").splitlines()
    lines[5] = lines[5].replace('"files/5.wav"', "null")
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "my_stages.py").write_text(blocks("python")[0], encoding="utf-8")
    stages = [*yaml.safe_load(blocks("yaml")[0])["stages"], "image.decode"]
    recipe = recipe_data(manifest, stages=stages)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str, path: str = ".") -> subprocess.CompletedProcess[str]:
    """Run mmdata in a folder, with that folder on the path of modules as the page says."""
    checkout = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([path, checkout])}
    command = [sys.executable, "-P", "-c", "from mmdata.cli.main import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_example_builds_and_validates(project: Path) -> None:
    """Its measure is in the index, its rejects have its name, and any number of workers gives the same bytes."""
    for workers in ("1", "2"):
        done = run(project, "build", "recipe.yaml", f"out{workers}", "--workers", workers)
        assert done.returncode == 0, done.stderr
    files = [path.relative_to(project / "out1") for path in sorted((project / "out1").rglob("*")) if path.is_file()]
    assert all(sha256_of(project / "out1" / file) == sha256_of(project / "out2" / file) for file in files)
    dataset = mmdata.open(project / "out2")
    assert {record.origin.row for record in dataset} == {0, 1, 2, 4, 5, 6, 7, 8}
    assert all(-40 <= record.measures["audio.level"] < -3 for record in dataset if record.origin.row != 5)  # type: ignore[operator]
    (reject,) = pq.read_table(project / "out2/rejects.parquet").to_pylist()
    assert (reject["row"], reject["kind"], reject["stage"], reject["reason"]) == (
        3,
        "filtered",
        "my_stages:Lively",
        "recording is too quiet",
    )
    done = run(project, "validate", "out2")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_describes_itself(project: Path) -> None:
    """`mmdata stages` shows a user's stage as its own."""
    done = run(project, "stages", "my_stages:Lively")
    assert done.returncode == 0
    assert "Lowest level in dBFS" in done.stdout


def test_a_module_that_is_not_found_is_explained(project: Path) -> None:
    """The error says where modules are looked for."""
    done = run(project, "build", "recipe.yaml", "out", path="elsewhere")
    assert done.returncode == 2
    assert "stages[1]: stage 'my_stages:Lively' cannot be imported: No module named 'my_stages'" in done.stderr
    assert "PYTHONPATH" in done.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("json:nothing", "cannot be imported"),
        ("json:dumps", "is not a stage: it must be a subclass of mmdata.stages.base.Stage"),
        ("collections:OrderedDict", "is not a stage"),
    ],
)
def test_what_is_no_stage_is_refused(name: str, says: str) -> None:
    """The recipe is refused with the place of the stage."""
    with pytest.raises(RecipeError, match=re.escape(says)):
        Recipe.from_data(recipe_data(Path("manifest.jsonl"), stages=[name]))
