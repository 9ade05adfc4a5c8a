"""Checks `dataset.json`: that it is whole, and that what it says can be relied upon by the checks after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmdata.codec import Codec
from mmdata.dataset import DESCRIPTION, FORMAT, SHARD_NAME, SPLITS, Shard, fingerprint_of
from mmdata.errors import DatasetError
from mmdata.files import canonical_json, digest_of_json
from mmdata.formats import DEFAULTS, FORMATS, format_of, holds
from mmdata.parquet import check_plain_file
from mmdata.schema import Schema
from mmdata.validation.findings import Notes, shown
from mmdata.validation.strict_json import strict_json
from mmdata.values import Kind

_Split = Literal["train", "val", "test"]
_Scalar = Literal["str", "int", "float", "bool", "json"]
_Count = Annotated[int, Field(ge=0)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_File = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Rejects(_Part):
    error: _Count
    filtered: _Count
    duplicate: _Count


class _Counts(_Part):
    rows: _Count
    rows_written: _Count
    rows_rejected: _Count
    records: _Count
    rejects: _Rejects
    splits: dict[_Split, _Count]


class _Shard(_Part):
    file: Annotated[str, Field(pattern=rf"^{SHARD_NAME.pattern}$")]
    records: _Count
    bytes: _Count
    sha256: _Sha256


class _Field(_Part):
    kind: Kind
    encoded: Literal[True] | None = None
    dtype: str | None = None
    shape: list[_Count | None] | None = None
    rate: Annotated[int, Field(gt=0)] | None = None
    text: str | None = None
    vocabulary: Annotated[int, Field(gt=0)] | None = None


class _Schema(_Part):
    fields: Annotated[dict[str, _Field], Field(min_length=1)]
    metadata: dict[str, _Scalar]
    measures: dict[str, _Scalar]


class _Description(_Part):
    format: Literal[1]
    name: str
    recipe: dict[str, Any]
    identity: dict[str, Any]
    fingerprint: _Sha256
    versions: dict[str, str]
    schema_: Annotated[_Schema, Field(alias="schema")]
    members: dict[str, str]
    inputs: list[str]
    counts: _Counts
    shards: dict[_Split, list[_Shard]]
    index: dict[Annotated[str, Field(pattern=r"^(index/[a-z]+-[0-9]{6}|rejects)\.parquet$")], _Sha256]
    artifacts: dict[_File, _Sha256]
    statistics: dict[str, dict[str, Any]]
    checksum: _Sha256


@dataclass(frozen=True)
class Promised:
    """What `dataset.json` promises, as far as it has the shape it must have; the rest is left out.

    Where the shards cannot be taken from it, they are those that lie in the folder, and `has_shards` is False.
    """

    parts: Mapping[str, Any]
    shards: tuple[Shard, ...]
    has_shards: bool

    @cached_property
    def codec(self) -> Codec | None:
        """The codec of the records; None where schema or members are not known."""
        if not {"schema", "members", "inputs"} <= self.parts.keys():
            return None
        members = {extension: (name, format_of(extension)) for extension, name in self.parts["members"].items()}
        return Codec(Schema.from_json(self.parts["schema"]), dict(sorted(members.items())), tuple(self.parts["inputs"]))


def read_promises(out: Path, notes: Notes) -> Promised:
    """Read and check `dataset.json`. Raises DatasetError where there is none: then the folder is no dataset."""
    path = out / DESCRIPTION
    notes.covered("description")
    try:
        check_plain_file(path)
        content = path.read_bytes()
    except FileNotFoundError as error:
        hint = "its build did not finish; run it again" if (out / ".build").is_dir() else "is this a dataset folder?"
        raise DatasetError(f"{out}: there is no {DESCRIPTION}: {hint}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        data = strict_json(content)
        if canonical_json(data).encode() != content:
            notes.error("description", "it is not written as a build writes it: keys sorted, no spaces, each value in one way")
    except ValueError as error:
        notes.error("description", f"it cannot be read as JSON: {error}")
        data = None
    parts = _sound_parts(data, notes)
    if "shards" not in parts:
        return Promised(parts, tuple(_found_shards(out)), has_shards=False)
    listed = [Shard(split, **one) for split in SPLITS for one in parts["shards"].get(split, [])]
    return Promised(parts, tuple(listed), has_shards=True)


def _sound_parts(data: object, notes: Notes) -> dict[str, Any]:
    """Return the parts of the description that have the shape they must have; note what is wrong with the others."""
    if not isinstance(data, dict):
        if data is not None:
            notes.error("description", f"it must hold an object, not {shown(data)}")
        return {}
    _check_checksum(data, notes)
    wrong = set()
    try:
        _Description.model_validate(data)
    except ValidationError as error:
        for one in error.errors(include_url=False):
            place = [str(part) for part in one["loc"]]
            notes.error("description", f"{'.'.join(place)}: {one['msg']}, found {shown(one['input'])}")
            wrong.add(place[0])
    parts = {name: value for name, value in data.items() if name in _NAMES - wrong}
    if {"recipe", "identity", "name"} <= parts.keys():
        for problem in _recipe_problems(parts):
            notes.error("description", problem)
    if {"identity", "artifacts", "fingerprint"} <= parts.keys():
        _check_fingerprint(parts, notes)
    if {"schema", "members", "inputs"} <= parts.keys() and (problems := _member_problems(parts)):
        for problem in problems:
            notes.error("description", problem)
        del parts["members"]
    return parts


_NAMES = {field.alias or name for name, field in _Description.model_fields.items()}


def _check_checksum(data: Mapping[str, Any], notes: Notes) -> None:
    if data.get("format") != FORMAT:
        notes.error("description", f"its format is {shown(data.get('format'))}, this version of mmdata reads {FORMAT}")
    checksum = digest_of_json({name: value for name, value in data.items() if name != "checksum"})
    if data.get("checksum") != checksum:
        notes.error("description", "its checksum differs from its content: it was changed after the build")


def _recipe_problems(parts: Mapping[str, Any]) -> Iterator[str]:
    """Yield how the recipe as run differs from the one by which the folder knows its build: in nothing but places and limits."""
    recipe, known = parts["recipe"], parts["identity"].get("recipe")
    if not isinstance(known, dict):
        yield f"identity.recipe must be an object, not {shown(known)}"
        return
    source = recipe.get("source")
    told = {
        **recipe,
        "source": {name: value for name, value in source.items() if name != "path"} if isinstance(source, dict) else source,
    }
    for name in known.keys() - {"stage_versions"}:
        if known[name] != told.get(name):
            yield f"recipe.{name} differs from identity.recipe.{name}: one of them was changed after the build"
    if "name" in known and parts["name"] != known["name"]:
        yield f"its name is {shown(parts['name'])}, that of its recipe is {shown(known['name'])}"


def _check_fingerprint(parts: Mapping[str, Any], notes: Notes) -> None:
    try:
        fingerprint = fingerprint_of(parts["identity"], parts["artifacts"])
    except ValueError:
        return  # what JSON has no form for is noted with the checksum
    if parts["fingerprint"] != fingerprint:
        notes.error("description", "its fingerprint is not that of its identity and artifacts")


def _member_problems(parts: Mapping[str, Any]) -> list[str]:
    """Return how schema and members disagree: each field has one member, of a format that holds its kind."""
    fields, problems = parts["schema"]["fields"], []
    for extension, name in parts["members"].items():
        suffix = extension.rpartition(".")[2]
        if suffix not in FORMATS:
            problems.append(f"members.{extension}: no known format has this extension")
        elif name not in fields:
            problems.append(f"members.{extension}: the schema has no field {name!r}")
        elif (kind := fields[name]["kind"]) not in DEFAULTS or not holds(format_of(extension), kind):
            problems.append(f"members.{extension}: {suffix} cannot hold {name!r}, which is of kind {kind}")
    if sorted(parts["members"].values()) != sorted(fields):
        problems.append(f"members name the fields {sorted(parts['members'].values())}, the schema has {sorted(fields)}")
    for name, type_ in fields.items():
        if type_["kind"] == "tokens" and type_.get("text") not in {None, *fields}:
            problems.append(f"schema.fields.{name}: its text {type_['text']!r} is no field")
    return problems


def _found_shards(out: Path) -> list[Shard]:
    """Return the shards that lie in the folder; nothing is known of them but their names."""
    paths = [path for split in SPLITS for path in sorted(out.glob(f"{split}-*.tar"))]
    return [Shard(path.name.partition("-")[0], path.name, 0, 0, "") for path in paths if SHARD_NAME.fullmatch(path.name)]
