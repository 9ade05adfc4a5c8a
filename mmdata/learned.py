"""What an earlier dataset has learned, taken into a new one: the `artifacts` of a recipe."""

from __future__ import annotations

from pathlib import Path

from mmdata.dataset import DESCRIPTION, read_description
from mmdata.errors import RecipeError
from mmdata.files import sha256_of
from mmdata.fit import artifact_name
from mmdata.recipe import Recipe
from mmdata.stages.base import FitStage, JudgingStage, Stage


def given_artifacts(recipe: Recipe) -> dict[str, bytes]:
    """Return the files of all stages that learn, from the dataset that the recipe names; none where it names none.

    What stages judge is not among them: it holds for the rows of that dataset alone. Raises RecipeError for a file that is
    missing, damaged, or that its stage cannot use.
    """
    if recipe.artifacts is None:
        return {}
    folder = recipe.artifacts / "artifacts" if (recipe.artifacts / "artifacts").is_dir() else recipe.artifacts
    stages: list[Stage] = list(recipe.stages)
    given: dict[str, bytes] = {}
    for number, stage in enumerate(recipe.stages):
        if isinstance(stage, FitStage) and not isinstance(stage, JudgingStage) and stage.needs_fit:
            files = {name: artifact_name(recipe, number, name) for name in stage.files}
            contents = {name: _content(folder / file, recipe.stage_names[number]) for name, file in files.items()}
            given |= {files[name]: content for name, content in contents.items()}
            stages[number] = _checked(stage.fitted(contents), folder / files[stage.files[0]])
            _check_schema(recipe, stages, folder)
    return given


def _content(path: Path, stage: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"artifacts: {path} cannot be read ({error.strerror}); {stage} needs it") from error
    if (path.parent.parent / DESCRIPTION).is_file():
        promised = read_description(path.parent.parent)["artifacts"].get(path.name)
        if promised is not None and promised != sha256_of(path):
            raise RecipeError(f"artifacts: {path} is damaged: its sha256 is not the one in {DESCRIPTION}")
    return content


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
