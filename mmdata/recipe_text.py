"""The text of recipes: YAML with the line of every value, settings from the command line, and errors that name the place.

PyYAML is imported where text is read: a machine that only loads and trains needs none.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mmdata.errors import RecipeError

Place = tuple[str | int, ...]

_LARGEST = 1 << 18
_DEEPEST_SETTING = 20


@dataclass(frozen=True)
class Lines:
    """Where each value of a recipe stands: in its file, or in a setting that was put in place of what the file says."""

    file: str = ""
    numbers: Mapping[Place, int] = field(default_factory=dict)
    settings: Mapping[Place, str] = field(default_factory=dict)

    def place(self, path: Place) -> str:
        """Return `FILE:LINE: ` or `--set SETTING: ` for a value, or for the nearest around it; nothing where there is none."""
        set_here = [setting for place, setting in self.settings.items() if path[: len(place)] == place]
        if set_here:
            return f"--set {set_here[-1]}: "
        while path and path not in self.numbers:
            path = path[:-1]
        return f"{self.file}:{self.numbers[path]}: " if path in self.numbers else f"{self.file}: " if self.file else ""


def bundled_recipes() -> dict[str, Path]:
    """Return the recipes that come with mmdata: name to file."""
    folder = Path(str(resources.files("mmdata.pipelines")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_recipe(name_or_path: str | Path) -> Path:
    """Return the file of a recipe: a path, or the name of a bundled one. Raises RecipeError where there is neither."""
    path, bundled = Path(name_or_path), bundled_recipes()
    if path.is_file():
        return path
    if str(name_or_path) in bundled:
        return bundled[str(name_or_path)]
    near = difflib.get_close_matches(str(name_or_path), bundled, n=1)
    known = f"did you mean {near[0]!r}?" if near else f"the bundled ones are {', '.join(bundled)}"
    raise RecipeError(f"there is no recipe file {str(name_or_path)!r}, and no bundled recipe of that name; {known}")


def parse_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """Read a YAML mapping of plain data and the line of each value.

    Raises RecipeError for anything that is not YAML, repeats a key, or holds aliases (which can blow up) or objects.
    """
    from mmdata.plain_yaml import NO_YAML, lines_of, plain_data

    try:
        if path.stat().st_size > _LARGEST:
            raise RecipeError(f"{path}: has more than {_LARGEST} bytes, which no recipe needs; is it the right file?")
        node, data = plain_data(path.read_text(encoding="utf-8-sig"))
        numbers = dict(lines_of(node))
    except (OSError, *NO_YAML) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        line = f":{mark.line + 1}" if mark else ""
        told = f"not valid YAML: {problem}" if problem else f"cannot be read as YAML: {error}"
        raise RecipeError(f"{path}{line}: {told}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: a recipe is a mapping with name, source, fields and stages")
    return data, Lines(str(path), numbers)


def apply_settings(data: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Return recipe data with settings `KEY=VALUE` applied; KEY is a dotted path, VALUE is YAML.

    Stages are named by number or name: `stages.2.size=128` or `stages.image.resize.size=128`. Raises RecipeError.
    """
    from mmdata.plain_yaml import NO_YAML, plain_data

    changed: dict[str, Any] = dict(data)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip() or key.count(".") > _DEEPEST_SETTING:
            raise RecipeError(f"--set {setting}: write it as KEY=VALUE, for instance --set source.path=corpus/manifest.jsonl")
        try:
            _, value = plain_data(text)
        except NO_YAML as error:
            raise RecipeError(f"--set {setting}: the value is not valid YAML: {error}") from error
        changed = _with(changed, key.strip().split("."), value, setting)
    return changed


def places_set(data: Mapping[str, Any], settings: Sequence[str]) -> dict[Place, str]:
    """Return which setting stands at which place of the data that settings were applied to."""
    places: dict[Place, str] = {}
    for setting in settings:
        path = setting.partition("=")[0].strip().split(".")
        stages = data.get("stages")
        place: Place = tuple(path)
        if path[0] == "stages" and len(path) > 1 and isinstance(stages, list):
            names = _stage_names(stages)
            numbers, rest = _stages_at(names, path[1:])
            if len(numbers) != 1:
                continue  # a later setting put other stages in their place
            place = ("stages", numbers[0], names[numbers[0]], *rest)
        places[place] = setting
    return places


def _stage_names(stages: Sequence[Any]) -> list[str]:
    """Return the name of each stage, empty for what is not written as one."""
    items = [dict.fromkeys([item]) if isinstance(item, str) else item for item in stages]
    return [str(next(iter(item))) if isinstance(item, dict) and len(item) == 1 else "" for item in items]


def _stages_at(names: Sequence[str], path: list[str]) -> tuple[list[int], list[str]]:
    """Return the numbers of the stages that a path means, by number or by name, and the rest of the path."""
    if path[0] in map(str, range(len(names))):
        return [int(path[0])], path[1:]
    name = ".".join(path[:2])
    return [number for number, found in enumerate(names) if found == name], path[2:]


def _with(data: object, path: list[str], value: object, setting: str) -> Any:  # noqa: ANN401 - plain data
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(data, dict):
        if head == "stages" and rest and isinstance(data.get("stages"), list):
            return {**data, "stages": _with_stage(data["stages"], rest, value, setting)}
        below = data.get(head, {})
        return {**data, head: _with({} if below is None else below, rest, value, setting)}
    raise RecipeError(f"--set {setting}: there is nothing below the part before {head!r}")


def _with_stage(stages: list[Any], path: list[str], value: object, setting: str) -> list[Any]:
    items = [dict.fromkeys([item]) if isinstance(item, str) else item for item in stages]
    names = _stage_names(stages)
    numbers, rest = _stages_at(names, path)
    if len(numbers) != 1:
        raise RecipeError(f"--set {setting}: {_not_one(len(numbers), '.'.join(path[:2]), names)}")
    (number,) = numbers
    if not rest or not names[number]:
        raise RecipeError(f"--set {setting}: name a stage and its option, as in stages.image.resize.size=128")
    (held,) = items[number].values()
    items[number] = {names[number]: _with(held or {}, rest, value, setting)}
    return items


def _not_one(count: int, name: str, names: Sequence[str]) -> str:
    if count:
        return f"the recipe has {count} stages {name!r}; name one by its number"
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}"
    return f"the recipe has no stage {name!r}; {hint}"


def explain(error: ValidationError, model: type[BaseModel], lines: Lines, path: Place = (), prefix: str = "") -> str:
    """Return what is wrong with some data, one line a place: file and line, path, what was found, what was expected."""
    # Where an option is misspelt the right one is missing too: what is missing comes last.
    found = sorted(error.errors(include_url=False), key=lambda one: one["type"] == "missing")
    return "\n".join(_explain_one(one, model, lines, path, prefix) for one in found)


def _explain_one(found: Any, model: type[BaseModel], lines: Lines, path: Place, prefix: str) -> str:  # noqa: ANN401
    where = tuple(part for part in found["loc"] if not (isinstance(part, str) and part in _UNION_TAGS))
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    label = " ".join(part for part in (prefix, dotted) if part)
    return f"{lines.place((*path, *where))}{label}: {_message(found, model, where)}"


def _message(found: Any, model: type[BaseModel], where: Place) -> str:  # noqa: ANN401
    if found["type"] == "extra_forbidden":
        known = sorted(_known_names(model, where[:-1]))
        near = difflib.get_close_matches(str(where[-1]), known, n=1)
        return f"unknown option; did you mean {near[0]!r}?" if near else f"unknown option; known: {', '.join(known)}"
    if found["type"] == "union_tag_invalid":
        return _wrong_tag(found["ctx"]["discriminator"].strip("'"), found["ctx"]["tag"], found["ctx"]["expected_tags"])
    message = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] in {"model_type", "model_attributes_type"}:
        message = f"must be a mapping with {', '.join(_known_names(model, where))}"
    elif found["type"] == "union_tag_not_found":
        message = f"has no {found['ctx']['discriminator']}"
    if found["type"] != "missing" and isinstance(found.get("input"), str | int | float | bool | None):
        message += f" (found {found['input']!r})"
    return message


def _wrong_tag(option: str, tag: str, expected: str) -> str:
    """Return the message for a `type` or `format` that there is not; of formats, those for the same kind of field are offered."""
    from mmdata.formats import FORMATS

    known = expected.replace("'", "").split(", ")
    near = difflib.get_close_matches(tag.lower(), known, n=1, cutoff=_LIKE_ENOUGH)
    kinds: dict[str, list[str]] = {}
    for name in known:
        kinds.setdefault(FORMATS[name].kind if name in FORMATS else "it", []).append(name)
    offered = "; ".join(f"for {kind} {', '.join(names)}" for kind, names in kinds.items() if not near or near[0] in names)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {option} {tag!r}; {hint}there are {offered}"


_LIKE_ENOUGH = 0.7
"""Names of formats are short: mp3 is not meant to be mp4."""

_UNION_TAGS = frozenset({"manifest", "files", "jpg", "png", "webp", "flac", "wav", "ogg", "txt", "npy", "mp4", "int", "float"})


def _known_names(model: type[BaseModel], path: Place) -> list[str]:
    """The options that a part of a model has; those of all its members where the part is a union."""
    models: list[Any] = [model]
    for part in path:
        below = [_models_in(found.model_fields[part].annotation) for found in models if part in found.model_fields]
        if below:
            models = [inner for found in below for inner in found]
    return list(dict.fromkeys(name for found in models for name in found.model_fields))


def _models_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]
