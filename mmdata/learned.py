"""What an earlier dataset has learned, taken into a new one: the `artifacts` of a recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdata.dataset import DESCRIPTION, read_description
from mmdata.errors import RecipeError
from mmdata.fit import artifact_name
from mmdata.recipe import Recipe
from mmdata.stages.base import FitStage, JudgingStage, Stage


def given_artifacts(recipe: Recipe) -> dict[str, bytes]:
    """Return the files of all stages that learn, from the dataset that the recipe names; none where it names none.

    What stages judge is not among them: it holds for the rows of that dataset alone. Raises RecipeError for a file that is
    missing, damaged, that its stage cannot use, or that the stage's options could not give.
    """
    if recipe.artifacts is None:
        return {}
    folder = recipe.artifacts / "artifacts" if (recipe.artifacts / "artifacts").is_dir() else recipe.artifacts
    description = read_description(folder.parent) if (folder.parent / DESCRIPTION).is_file() else {}
    stages: list[Stage] = list(recipe.stages)
    given: dict[str, bytes] = {}
    for number, stage in enumerate(recipe.stages):
        if isinstance(stage, FitStage) and not isinstance(stage, JudgingStage) and stage.needs_fit:
            files = {name: artifact_name(recipe, number, name) for name in stage.files}
            contents = {name: _content(folder / file, recipe.stage_names[number], description) for name, file in files.items()}
            given |= {files[name]: content for name, content in contents.items()}
            first = folder / files[stage.files[0]]
            stages[number] = _checked(stage.fitted(contents), first)
            _check_schema(recipe, stages, folder)
            _check_given(stage, contents, _made_by(description, recipe.stage_names[number]), first)
    return given


def _content(path: Path, stage: str, description: Mapping[str, Any]) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"artifacts: {path} cannot be read ({error.strerror}); {stage} needs it") from error
    promised = description.get("artifacts", {}).get(path.name)
    if promised is not None and promised != hashlib.sha256(content).hexdigest():
        raise RecipeError(f"artifacts: {path} is damaged: its sha256 is not the one in {DESCRIPTION}")
    return content


def _made_by(description: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """Return the options of the stage that the earlier dataset had under this name; none where it had none such."""
    name, _, place = stage.partition("-")
    match description:
        case {"recipe": {"stages": [*stages]}}:
            found = [one.get(name) for one in stages if isinstance(one, dict) and name in one]
            options = found[int(place or 1) - 1 :]
            return options[0] if options and isinstance(options[0], dict) else {}
    return {}


def _check_given(stage: FitStage, contents: Mapping[str, bytes], made_by: Mapping[str, Any], path: Path) -> None:
    try:
        stage.check_given(contents, made_by)
    except RecipeError as error:
        raise RecipeError(f"artifacts: {path} {error}, or name other artifacts") from error


def _checked(stage: FitStage, path: Path) -> FitStage:
    try:
        stage.statistics()
    except Exception as error:  # whatever a library raises for a file that is not its own
        raise RecipeError(f"artifacts: {path} is not of {stage.stage}: {error}") from error
    return stage


def _check_schema(recipe: Recipe, stages: list[Stage], folder: Path) -> None:
    try:
        recipe.schemas(stages)
    except RecipeError:
        raise
    except Exception as error:  # the same
        raise RecipeError(f"artifacts: what {folder} holds does not fit the stages: {error}") from error
