"""A recipe: what to build, as plain validated data. It knows no rows yet; the plan makes it concrete."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from mmdata.errors import RecipeError
from mmdata.formats import AnyFormat
from mmdata.limits import Limits
from mmdata.recipe_text import Lines, apply_settings, explain, find_recipe, parse_yaml, places_set
from mmdata.schema import FieldType, ScalarName, Schema
from mmdata.sources import AnySource
from mmdata.sources.base import Source
from mmdata.stages import name_of, stage_class
from mmdata.stages.base import Stage, options_of

_NAME = r"^[A-Za-z][A-Za-z0-9_]*$"
Name = Annotated[str, Field(pattern=_NAME)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_ANNOTATIONS = {
    "image": ("boxes", "points"),
    "audio": ("segments",),
    "video": ("segments", "frame_boxes"),
    "text": ("spans",),
}


class FieldSpec(_Part):
    """A raw field: its kind, the column that holds it, and the columns that hold its annotations."""

    kind: Literal["image", "audio", "video", "text"]
    column: str | None = Field(None, description="the source's column; by default the name of the field")
    file: bool | None = Field(None, description="whether the column names a file; by default so, but for texts in a manifest")
    boxes: str | None = Field(None, description="column with boxes [[left, top, right, bottom, label], …] in raw pixels")
    points: str | None = Field(None, description="column with points [[x, y, label], …] in raw pixels")
    segments: str | None = Field(
        None,
        description="column with segments [[start, end, label], …] in seconds, or subtitles: an .srt or .vtt file, or its text",
    )
    frame_boxes: str | None = Field(
        None, description="column with boxes of a video [[seconds, left, top, right, bottom, label], …] in raw pixels"
    )
    spans: str | None = Field(None, description="column with spans [[start, end, label], …] in characters")

    @property
    def annotations(self) -> dict[str, str]:
        """The columns of annotations by their kind."""
        columns = {kind: getattr(self, kind) for kind in ("boxes", "points", "segments", "frame_boxes", "spans")}
        return {kind: column for kind, column in columns.items() if column is not None}

    @model_validator(mode="after")
    def _check_annotations(self) -> Self:
        for annotation in self.annotations:
            if annotation not in _ANNOTATIONS[self.kind]:
                raise ValueError(f"a field of kind {self.kind} has no {annotation}; it has {', '.join(_ANNOTATIONS[self.kind])}")
        return self


class SplitSpec(_Part):
    """How rows are split: by a hash of their group, so that rows of one group stay together."""

    by: str | None = Field(None, description="the source's column that names the group; by default each row is its own")
    val: float = Field(0.0, ge=0, lt=1, description="share of the groups, 0 to 1")
    test: float = Field(0.0, ge=0, lt=1, description="share of the groups, 0 to 1")

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError(f"val {self.val} and test {self.test} leave nothing to train on")
        return self


class ShardSpec(_Part):
    """How rows are laid into shards."""

    rows: int = Field(1000, ge=1, description="rows a shard, on average; from half to twice as many")
    order: Literal["source", "shuffled"] = Field("source", description="as they come, or by a seeded shuffle")


def _share(value: object) -> object:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    return float(match.group(1)) / 100 if match else value


class Recipe(_Part):
    """What to build. Make one with `Recipe.load` or `Recipe.from_data`."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    description: str = ""
    seed: int = 0
    source: AnySource
    fields: dict[Name, FieldSpec] = Field(min_length=1)
    metadata: dict[Name, ScalarName] = Field(default={}, description="columns to keep, with their types")
    split: SplitSpec = SplitSpec()
    stages: tuple[SerializeAsAny[Stage], ...] = ()
    output: dict[Name, AnyFormat] = {}
    shards: ShardSpec = ShardSpec()
    limits: Limits = Limits()
    artifacts: Path | None = Field(
        None, exclude=True, description="a dataset folder, or its artifacts: what was learned there is taken, not learned anew"
    )
    max_rejects: Annotated[int | float, BeforeValidator(_share)] = Field(
        0.1, ge=0, allow_inf_nan=False, description="how many rows may be rejected as errors: a count, a share below 1, or '10%'"
    )

    @field_validator("fields", "metadata", "output")
    @classmethod
    def _sorted(cls, named: dict[str, Any]) -> dict[str, Any]:
        """The order in which a file names things must not reach the bytes of the dataset."""
        return dict(sorted(named.items()))

    _base: Path = PrivateAttr(default_factory=Path)
    _lines: Lines = PrivateAttr(default_factory=Lines)

    @classmethod
    def load(cls, name_or_path: str | Path, settings: Sequence[str] = ()) -> Self:
        """Read a recipe file, or a bundled recipe by its name, and apply settings `KEY=VALUE`.

        Paths in the file are relative to the file; those in settings, to the current folder. Raises RecipeError.
        """
        path = find_recipe(name_or_path)
        data, lines = parse_yaml(path)
        data = apply_settings(data, settings)
        moved = {setting.partition("=")[0].strip() for setting in settings}
        if isinstance(data.get("artifacts"), str) and "artifacts" not in moved:
            data["artifacts"] = str(path.parent / data["artifacts"])
        lines = replace(lines, settings=places_set(data, settings))
        return cls.from_data(data, base=Path() if "source.path" in moved else path.parent, lines=lines)

    @classmethod
    def from_data(cls, data: Mapping[str, Any], *, base: Path | None = None, lines: Lines | None = None) -> Self:
        """Make a recipe of plain data, as YAML gives it. Raises RecipeError that names every wrong place."""
        lines = lines or Lines()
        try:
            recipe = cls.model_validate({**data, "stages": _stages(data.get("stages") or [], lines)})
        except ValidationError as error:
            raise RecipeError(explain(error, cls, lines)) from error
        recipe._base, recipe._lines = base or Path(), lines
        return recipe

    @property
    def corpus(self) -> str:
        """Where the raw corpus is: a path, made whole with the folder of the recipe, or a URL."""
        path = self.source.path
        return path if "://" in path else str(self._base / path)

    def open_source(self) -> Source:
        """List the raw corpus. Raises SourceError."""
        return self.source.model_copy(update={"path": self.corpus}).open()

    @property
    def raw_inputs(self) -> tuple[str, ...]:
        """The names of what a row is read from, sorted: its fields, and `FIELD.segments` where there may be subtitles."""
        beside = [f"{name}.segments" for name, spec in self.fields.items() if spec.segments]
        return tuple(sorted([*self.fields, *beside]))

    @cached_property
    def conceals(self) -> bool:
        """Whether a stage removes what no digest may tell either."""
        return any(stage.conceals for stage in self.stages)

    @cached_property
    def raw_schema(self) -> Schema:
        """The schema of the records that enter the first stage."""
        types = {
            name: FieldType(spec.kind, encoded=spec.kind != "text", dtype=None if spec.kind != "text" else "str")
            for name, spec in self.fields.items()
        }
        return Schema(types, self.metadata)

    def schemas(self, stages: Sequence[Stage] | None = None) -> list[Schema]:
        """Let the schema flow through the stages; return it before the first and after each.

        Raises RecipeError with the stage at which it cannot go on.
        """
        schemas = [self.raw_schema]
        for number, stage in enumerate(self.stages if stages is None else stages):
            try:
                schemas.append(stage.infer(schemas[-1]))
            except RecipeError as error:
                place = f"{self._lines.place(('stages', number))}stages[{number}] {self.stage_names[number]}"
                raise RecipeError(f"{place}: {error}") from error
        return schemas

    @cached_property
    def stage_names(self) -> tuple[str, ...]:
        """The names by which rejects and random numbers know the stages; a second `image.crop` is `image.crop-2`."""
        names = [name_of(type(stage)) for stage in self.stages]
        counts = [names[: number + 1].count(name) for number, name in enumerate(names)]
        return tuple(f"{name}-{count}" if count > 1 else name for name, count in zip(names, counts, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data, every default written out."""
        data = self.model_dump(mode="json", exclude={"stages"})
        return {**data, "stages": [{name_of(type(stage)): options_of(stage)} for stage in self.stages]}

    def substance(self) -> dict[str, Any]:
        """Return what decides over the bytes of the shards: without the corpus's place, `max_rejects` and the description."""
        data = self.to_json()
        source = {key: value for key, value in data.pop("source").items() if key != "path"}
        versions = [stage.version for stage in self.stages]
        kept = {key: value for key, value in data.items() if key not in {"description", "max_rejects"}}
        return {**kept, "source": source, "stage_versions": versions}


def _stages(items: object, lines: Lines) -> list[Stage]:
    """Make the stages of a recipe; each item is a name, or a name with its options."""
    if not isinstance(items, list):
        raise RecipeError(f"{lines.place(('stages',))}stages: must be a list of stages")
    return [_stage(item, number, lines) for number, item in enumerate(items)]


def _stage(item: object, number: int, lines: Lines) -> Stage:
    place = lines.place(("stages", number))
    if isinstance(item, Stage):
        return item
    name, options = next(iter(item.items())) if isinstance(item, dict) and len(item) == 1 else (item, None)
    if not isinstance(name, str) or not isinstance(options or {}, dict):
        raise RecipeError(f"{place}stages[{number}]: must be the name of a stage, or one name with its options")
    try:
        kind = stage_class(name)
    except RecipeError as error:
        raise RecipeError(f"{place}stages[{number}]: {error}") from error
    try:
        return kind.model_validate(options or {})
    except ValidationError as error:
        raise RecipeError(explain(error, kind, lines, ("stages", number, name), f"stages[{number}] {name}")) from error
