"""Recipes and settings that are YAML to the letter and mischief in spirit: refused in a line, before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdata.errors import ConfigError, RecipeError
from mmdata.recipe import Recipe
from mmdata.train.config import load_config
from tests.faults.hostile import STEERS, mmdata

GOOD = "name: a\nsource: {type: manifest, path: m.csv}\nfields: {text: {kind: text}}\n"
LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{number}: &a{number} [{f'*a{number - 1},' * 10}]\n" for number in range(1, 10))

TEXTS = {
    "aliases that multiply": (GOOD + LAUGHS, r":5: not valid YAML: aliases \(\*a0\) are not taken"),
    "an object": (GOOD + "seed: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
    "a module": (GOOD + "seed: !!python/module:os\n", "could not determine a constructor"),
    "a date that is none": (GOOD + "seed: 2001-99-99\n", "cannot be read as YAML"),
    "deep nesting": (GOOD + "seed: " + "[" * 5000, "nested deeper than 50"),
    "a zero byte": (GOOD + "seed: \0", "cannot be read as YAML"),
    "control characters": (GOOD + 'seed: "\x1b[31m"', "cannot be read as YAML"),
    "a merge key": (GOOD + "<<: {seed: 1}\nseed: {}\n", "seed"),
    "numbers for names": (GOOD + "1: 2\n", "1"),
    "more than a recipe needs": (GOOD + "#" * (1 << 18), "no recipe needs"),
    "a stage that is a program": (GOOD + "stages: ['os:system']\n", "is not a stage"),
    "a stage that is no name": (GOOD + "stages: ['..evil:X']\n", "cannot be imported"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_recipe_makes_nothing_but_plain_data(tmp_path: Path, name: str) -> None:
    """Aliases, objects, depth and size are refused with the place."""
    text, says = TEXTS[name]
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=says):
        Recipe.load(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    "setting",
    [
        "seed=!!python/object/apply:os.system [true]",
        "seed=[&a [1], *a]",
        "seed=2001-99-99",
        "seed=" + "[" * 5000,
        "seed=\0",
        ".".join("a" * 3000) + "=1",
        "stages.\u00b2.size=1",
        "stages." + "9" * 5000 + ".size=1",
        "stages.-1.size=1",
        "stages.0=1",
        "stages.0.form.x=1",
        "stages.1.form=NFC",
        "=1",
        "seed",
    ],
)
def test_a_setting_makes_nothing_but_plain_data(tmp_path: Path, setting: str) -> None:
    """What a file may not hold, a setting may not either; places that are none are named."""
    (tmp_path / "recipe.yaml").write_text(GOOD + "stages: [text.normalize, {a: 1, b: 2}]\n", encoding="utf-8")
    with pytest.raises(RecipeError):
        Recipe.load(tmp_path / "recipe.yaml", [setting])


def test_settings_of_training_are_read_as_strictly(tmp_path: Path) -> None:
    """The settings of a training run go the same way."""
    (tmp_path / "run.yaml").write_text("name: &a x\ndescription: *a\n")
    with pytest.raises(ConfigError, match="aliases"):
        load_config(tmp_path / "run.yaml")


def test_what_a_recipe_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    """Values and names are quoted in errors, and recipes are printed: without control characters, and not without end."""
    text = GOOD + 'seed: "\\x1b[2J\\x9b31m\\u202e"\n"\\x1b]0;x\\x07": 1\ndescription: ' + "[" + "1, " * 3000 + "]\n"
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    for command in (["build", tmp_path / "recipe.yaml", tmp_path / "out"], ["recipes", tmp_path / "recipe.yaml", "--json"]):
        done = mmdata(*command)
        assert not STEERS.search(done.stdout + done.stderr)
        assert len(done.stderr) < 10_000
    done = mmdata("build", tmp_path / "\x1b[31m.yaml", tmp_path / "out")
    assert done.returncode == 2
    assert not STEERS.search(done.stderr)
    done = mmdata("build", "a", "b", "\x1b[31m")
    assert done.returncode == 2
    assert not STEERS.search(done.stderr)
