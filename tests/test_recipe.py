"""Recipes: what is wrong is said at its own line, and settings reach every value."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mmdata.errors import RecipeError
from mmdata.plan import make_plan
from mmdata.recipe import Recipe
from mmdata.recipe_text import bundled_recipes
from tests.corpus import recipe_data

GOOD = """\
name: small
source: {type: manifest, path: manifest.jsonl, key: key}
fields:
  image: {kind: image}
  text: {kind: text}
stages:
  - image.decode
  - image.resize: {size: 16}
"""


def load(folder: Path, text: str, *settings: str) -> Recipe:
    """Load a recipe from a file of this text."""
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return Recipe.load(path, settings)


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        (GOOD.replace("image.resize", "image.resise"), 8, "unknown stage 'image.resise'; did you mean 'image.resize'"),
        (GOOD.replace("size: 16", "sise: 16"), 8, r"stages\[1\] image.resize sise: unknown option; did you mean 'size'"),
        (GOOD.replace("size: 16", "size: wide"), 8, r"stages\[1\] image.resize size.*found 'wide'"),
        (GOOD.replace("kind: image", "kind: picture"), 4, "fields.image.kind.*found 'picture'"),
        (
            GOOD.replace("{kind: image}", "{kind: image, colum: a}"),
            4,
            "fields.image.colum: unknown option; did you mean 'column'",
        ),
        (GOOD.replace("name: small\n", ""), 1, "name: Field required"),
        (GOOD.replace("stages:", "stagess:"), 6, "stagess: unknown option; did you mean 'stages'"),
        (GOOD.replace("type: manifest", "type: manifst"), 2, "source: unknown type 'manifst'; did you mean 'manifest'"),
        (
            GOOD + "output: {image: {format: jpeg}}\n",
            9,
            r"output.image: unknown format 'jpeg'; did you mean 'jpg'\? there are for image jpg, png, webp$",
        ),
        (GOOD + "output: {image: {format: mp3}}\n", 9, "unknown format 'mp3'; there are for image .*; for audio flac, wav, ogg;"),
        (GOOD + "shards: 5\n", 9, r"shards: must be a mapping with rows, order \(found 5\)"),
        (GOOD.replace("{kind: image}", "{kin: image}"), 4, r"image.kin: unknown option; did you mean 'kind'\?\n.*Field required"),
        (GOOD + "seed: 1\nseed: 2\n", 10, "the key 'seed' stands here twice"),
        (GOOD + "split: &a {val: 0.1}\nshards: *a\n", 10, "aliases"),
        (GOOD + "seed: !!python/object/apply:os.system [ls]\n", 9, "not valid YAML"),
        (GOOD + "seed: [1\n", 10, "not valid YAML"),
    ],
)
def test_mistake_is_named_at_its_line(tmp_path: Path, text: str, place: int, says: str) -> None:
    """Each kind of mistake gives the file, the line, what was found and what was expected."""
    with pytest.raises(RecipeError, match=says) as caught:
        load(tmp_path, text)
    assert f"recipe.yaml:{place}: " in str(caught.value)


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([{"image.resize": {"size": 9}}], r"stages\[0\] image.resize: field 'image' is encoded; decode it first \(image"),
        (
            ["image.decode", {"audio.decode": {"field": "image"}}],
            r"stages\[1\] audio.decode: field 'image' is of kind image, .*audio",
        ),
        (["image.decode", {"image.resize": {"size": 9, "field": "imag"}}], r"stages\[1\] image.resize: there is no field 'imag'"),
    ],
)
def test_fields_that_do_not_fit_fail_before_any_data_is_read(tmp_path: Path, stages: list[Any], says: str) -> None:
    """The schema flows through the stages although the corpus does not even exist."""
    with pytest.raises(RecipeError, match=says):
        make_plan(Recipe.from_data(recipe_data(tmp_path / "nowhere.jsonl", stages=stages, output={})))


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ({"image": {"format": "flac"}}, "flac holds audio"),
        ({"picture": {"format": "png"}}, "there is no field 'picture'"),
    ],
)
def test_output_must_fit_the_fields(tmp_path: Path, output: dict[str, Any], says: str) -> None:
    """A format that does not hold the field's kind is refused with the plan."""
    with pytest.raises(RecipeError, match=says):
        make_plan(Recipe.from_data(recipe_data(tmp_path / "nowhere.jsonl", output=output)))


def test_fields_that_differ_in_case_alone_are_refused(tmp_path: Path) -> None:
    """Webdataset writes extensions small, and does not read a shard in which two are then one."""
    fields = {"Raw": {"kind": "text", "column": "text"}, "raw": {"kind": "text", "column": "text"}}
    with pytest.raises(RecipeError, match="fields 'Raw' and 'raw': to some readers these names are one"):
        make_plan(Recipe.from_data(recipe_data(tmp_path / "nowhere.jsonl", fields=fields, stages=[], output={})))


def test_field_left_encoded_is_refused(tmp_path: Path) -> None:
    """A picture that no stage decodes cannot be written."""
    with pytest.raises(RecipeError, match="field 'image' is still encoded at the end"):
        make_plan(Recipe.from_data(recipe_data(tmp_path / "nowhere.jsonl", stages=["audio.decode"])))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["nam=x"], "--set nam=x: nam: unknown option; did you mean 'name'"),
        (["limits.seconds=0"], "--set limits.seconds=0: limits.seconds: "),
        (["limits={seconds: 0}"], "--set limits={seconds: 0}: limits.seconds: "),
        (["seed=1", "shards.rows=9", "shards.rows=0"], "--set shards.rows=0: shards.rows: "),
        (["stages.image.resize.sise=9"], "--set stages.image.resize.sise=9: stages[1] image.resize sise: unknown option"),
        (["stages.1.size=no"], "--set stages.1.size=no: stages[1] image.resize size"),
        (["stages.image.rsize.size=9"], "--set stages.image.rsize.size=9: the recipe has no stage 'image.rsize'; did you mean "),
        (["stages.sound=9"], "--set stages.sound=9: the recipe has no stage 'sound'; there are image.decode, image.resize"),
    ],
)
def test_an_error_of_a_setting_is_said_of_the_setting(tmp_path: Path, settings: list[str], said: str) -> None:
    """Not of the file, which is as right as it was; where several set a value, of the last one."""
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, GOOD, *settings)
    assert str(caught.value).startswith(said)


def test_settings_change_values(tmp_path: Path) -> None:
    """Settings reach nested values, list items, and stages by name or number; a path in them is the caller's."""
    recipe = load(tmp_path, GOOD, "seed=7", "stages.image.resize.size=32", "stages.0.max_pixels=1000", "split.val=0.5")
    assert recipe.seed == 7
    assert recipe.split.val == 0.5
    assert recipe.to_json()["stages"][1]["image.resize"]["size"] == 32
    assert recipe.to_json()["stages"][0]["image.decode"]["max_pixels"] == 1000


@pytest.mark.parametrize(
    "setting", ["seed", "=1", "name.deeper=1", "stages.text.normalize.form=NFC", "stages.7.size=1", "seed=[1"]
)
def test_bad_setting_is_refused(tmp_path: Path, setting: str) -> None:
    """A setting that reaches nothing is an error and not ignored."""
    with pytest.raises(RecipeError, match="--set"):
        load(tmp_path, GOOD, setting)


def test_unknown_recipe_names_the_bundled_ones() -> None:
    """A name that is neither a file nor a bundled recipe is answered with the nearest."""
    with pytest.raises(RecipeError, match="did you mean 'stamps'"):
        Recipe.load("stamp")


@pytest.mark.parametrize("name", sorted(bundled_recipes()))
def test_bundled_recipes_are_valid(name: str) -> None:
    """Every recipe that comes along loads, and its schema reaches the end."""
    recipe = Recipe.load(name)
    assert recipe.name == name
    assert recipe.schemas()[-1].fields


def test_recipe_crosses_process_borders(recipe: Recipe) -> None:
    """A recipe can be pickled and stays the same."""
    assert pickle.loads(pickle.dumps(recipe)).to_json() == recipe.to_json()


def test_place_of_the_corpus_does_not_enter_the_substance(recipe: Recipe) -> None:
    """The same corpus in another folder, or another limit of rejects, makes the same shards."""
    data = recipe.to_json()
    moved = Recipe.from_data({**data, "source": {**data["source"], "path": "elsewhere.jsonl"}, "max_rejects": "50%"})
    assert moved.substance() == recipe.substance()
    assert moved.max_rejects == 0.5
