"""What every record of a dataset looks like, known before any data is read.

A schema flows through the stages when the plan is made; each stage checks that it gets what it needs and says what it makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from mmdata.errors import RecipeError
from mmdata.values import Kind

ScalarName = Literal["str", "int", "float", "bool", "json"]
T = TypeVar("T")


@dataclass(frozen=True)
class FieldType:
    """What is known of a field: its kind, whether it is still encoded, and what of dtype, shape and rate is fixed.

    `shape` has None where a size varies from record to record. `rate` is in Hz. `text` names the field that the offsets of
    tokens point into; `vocabulary` is the number of token ids.
    """

    kind: Kind
    encoded: bool = False
    dtype: str | None = None
    shape: tuple[int | None, ...] | None = None
    rate: int | None = None
    text: str | None = None
    vocabulary: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain data, without what is not known."""
        known: dict[str, Any] = {"kind": self.kind}
        for name in ("dtype", "rate", "text", "vocabulary"):
            if (value := getattr(self, name)) is not None:
                known[name] = value
        if self.shape is not None:
            known["shape"] = list(self.shape)
        return known | ({"encoded": True} if self.encoded else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FieldType:
        """Read what `to_json` wrote."""
        shape = data.get("shape")
        return cls(**{**data, "shape": None if shape is None else tuple(shape)})


@dataclass(frozen=True)
class Schema:
    """The fields, metadata and measures of every record, by name."""

    fields: Mapping[str, FieldType]
    metadata: Mapping[str, ScalarName] = field(default_factory=dict)
    measures: Mapping[str, ScalarName] = field(default_factory=dict)

    def require(self, name: str, kind: Kind, *, encoded: bool | None = False) -> FieldType:
        """Return the type of a field that must be of this kind; `encoded=None` takes both states.

        Raises RecipeError that says what was found and what to do.
        """
        found = self.fields.get(name)
        if found is None:
            raise RecipeError(f"there is no field {name!r}; the fields here are {_list(self.fields)}")
        if found.kind != kind:
            raise RecipeError(f"field {name!r} is of kind {found.kind}, this needs {kind}")
        if encoded is False and found.encoded:
            raise RecipeError(f"field {name!r} is encoded; decode it first ({kind}.decode)")
        if encoded is True and not found.encoded:
            raise RecipeError(f"field {name!r} is already decoded")
        return found

    def with_field(self, name: str, type_: FieldType) -> Schema:
        """Return a copy in which this field has this type."""
        return replace(self, fields={**self.fields, name: type_})

    def without(self, *names: str) -> Schema:
        """Return a copy without these fields and their measures."""
        fields = {name: type_ for name, type_ in self.fields.items() if name not in names}
        measures = {name: type_ for name, type_ in self.measures.items() if name.split(".")[0] not in names}
        return replace(self, fields=fields, measures=measures)

    def renamed(self, names: Mapping[str, str]) -> Schema:
        """Return a copy in which fields have other names (old to new), in measures and in what tokens point into as well."""
        fields = {
            names.get(name, name): type_ if type_.text is None else replace(type_, text=names.get(type_.text, type_.text))
            for name, type_ in self.fields.items()
        }
        return replace(self, fields=fields, measures=renamed_measures(self.measures, names))

    def with_measures(self, measures: Mapping[str, ScalarName]) -> Schema:
        """Return a copy with these measures added."""
        return replace(self, measures={**self.measures, **measures})

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        fields = {name: type_.to_json() for name, type_ in self.fields.items()}
        return {"fields": fields, "metadata": dict(self.metadata), "measures": dict(self.measures)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """Read what `to_json` wrote."""
        fields = {name: FieldType.from_json(type_) for name, type_ in data["fields"].items()}
        return cls(fields, data["metadata"], data["measures"])


def renamed_measures(measures: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    """Return measures, `FIELD.MEASURE`, under the new names of their fields (old to new)."""
    parted = ((*name.partition("."), found) for name, found in measures.items())
    return {f"{names.get(field, field)}{dot}{measure}": found for field, dot, measure, found in parted}


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
