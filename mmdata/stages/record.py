"""Stages over whole records: `record.require`, `record.where`, `record.rename`, `record.drop` and `record.sample`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from mmdata.errors import RecipeError
from mmdata.expression import LONGEST, parsed
from mmdata.measures import measure_types, measures_of
from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import Outcome, Stage, T
from mmdata.values import Array, Text, Tokens, Value

NewName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Require(Stage):
    """Rejects a record that lacks a field, or whose field is empty.

    Empty is: a text of white space only, no tokens, a picture without pixels, a recording without samples, a file of 0 bytes.

    Example:
        - record.require: {fields: [image, text]}
    """

    fields: tuple[str, ...] = Field(
        (), description="the fields that must be there; every raw field, and all made since, where none is named"
    )

    def infer(self, schema: Schema) -> Schema:
        """Check that the fields exist."""
        check_fields(schema, self.fields)
        return schema

    def reads(self) -> frozenset[str]:
        """The fields named, or all of them."""
        return frozenset(self.fields or ["*"])

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record as it is, or a Reject that names the first field that is missing or empty."""
        # The inputs name every raw field; one that the row does not have has no place. Others are only renamed or dropped.
        for name in self.fields or dict.fromkeys([*record.origin.absent, *record.fields]):
            if name not in record.fields:
                return Reject("filtered", f"{name} is missing")
            if is_empty(record[name]):
                return Reject("filtered", f"{name} is empty")
        return record


class Where(Stage):
    """Rejects a record of which an expression is false.

    Names are the metadata columns (`lang`) and the measures (`FIELD.MEASURE`): those of any field by its kind, once it is
    decoded (`image.width` and `image.height` in pixels, `audio.seconds`, `text.characters`, `tokens.tokens`), and those that
    stages before compute. There are `and`, `or`, `not`, `in`, comparisons, `+ - * /`, numbers, texts in quotes and lists. A
    `json` column is compared as its JSON text. A record that lacks a field of the expression passes.

    Example:
        - record.where: {expression: 'audio.seconds < 20 and lang in ["fr", "de"]'}
    """

    expression: str = Field(
        min_length=1, description=f"What must be true of a record; at most {LONGEST} characters, written as in Python."
    )

    @field_validator("expression")
    @classmethod
    def _check_expression(cls, expression: str) -> str:
        parsed(expression)
        return expression

    def infer(self, schema: Schema) -> Schema:
        """Check names and types, and that the fields are decoded."""
        for name in self.reads() & schema.fields.keys():
            schema.require(name, schema.fields[name].kind)
        parsed(self.expression).check({**schema.metadata, **measure_types(schema)})
        return schema

    def reads(self) -> frozenset[str]:
        """The fields whose measures are named."""
        return frozenset(name.partition(".")[0] for name in parsed(self.expression).names if "." in name)

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record as it is, or a Reject that shows the values."""
        expression = parsed(self.expression)
        values = {**record.metadata, **measures_of(record)}
        if any(name not in values for name in expression.names) or expression(values):
            return record
        shown = ", ".join(f"{name} is {values[name]!r}" for name in expression.names)
        return Reject("filtered", f"where: {self.expression} is false", shown)


class Rename(Stage):
    """Gives fields and metadata columns other names; the measures of a field follow it.

    Names may be exchanged. The raw inputs in the `json` member keep the names that the recipe gives them.

    Example:
        - record.rename: {fields: {speech: audio}, metadata: {lang: language}}
    """

    keeps_all: ClassVar[bool] = True

    fields: dict[str, NewName] = Field(default={}, description="Fields: old name to new.")
    metadata: dict[str, NewName] = Field(default={}, description="Metadata columns: old name to new.")

    def infer(self, schema: Schema) -> Schema:
        """Check the names and return the schema with the new ones."""
        check_fields(schema, self.fields)
        _check_columns(schema, self.metadata)
        _check_new_names("fields", schema.fields, self.fields)
        _check_new_names("metadata columns", schema.metadata, self.metadata)
        metadata = {self.metadata.get(name, name): type_ for name, type_ in schema.metadata.items()}
        return replace(schema.renamed(self.fields), metadata=dict(sorted(metadata.items())))

    def reads(self) -> frozenset[str]:
        """The fields that get other names."""
        return frozenset(self.fields)

    def carried(self, by_field: Mapping[str, T]) -> dict[str, T]:
        """Return what is known of fields under their new names."""
        return {self.fields.get(name, name): found for name, found in by_field.items()}

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record with the new names."""
        metadata = {self.metadata.get(name, name): value for name, value in record.metadata.items()}
        return replace(record.renamed(self.fields), metadata=metadata)


class Drop(Stage):
    """Takes fields, with their measures, and metadata columns out of every record.

    The raw inputs in the `json` member stay. A text that tokens point into can be dropped only together with the tokens.

    Example:
        - record.drop: {fields: [video], metadata: [url]}
    """

    keeps_all: ClassVar[bool] = True

    fields: tuple[str, ...] = Field((), description="Fields to drop.")
    metadata: tuple[str, ...] = Field((), description="Metadata columns to drop.")

    def infer(self, schema: Schema) -> Schema:
        """Check the names and return the schema without them."""
        check_fields(schema, self.fields)
        _check_columns(schema, self.metadata)
        left = schema.without(*self.fields)
        if not left.fields:
            raise RecipeError("this would drop every field; a record needs one")
        for name, type_ in left.fields.items():
            if type_.text in self.fields:
                raise RecipeError(f"the tokens in {name!r} point into {type_.text!r}; drop both, or neither")
        return replace(left, metadata={name: type_ for name, type_ in schema.metadata.items() if name not in self.metadata})

    def reads(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def carried(self, by_field: Mapping[str, T]) -> dict[str, T]:
        """Return what is known of the fields that stay."""
        return {name: found for name, found in by_field.items() if name not in self.fields}

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record without them."""
        metadata = {name: value for name, value in record.metadata.items() if name not in self.metadata}
        return replace(record.without(*self.fields), metadata=metadata)


class Sample(Stage):
    """Keeps a share of the records, each drawn by a hash of its key: about that share of them, not exactly.

    Which ones are kept depends on no other record, and those kept at a smaller share are among those kept at a larger one.
    `record.balance` gives exact numbers.

    Example:
        - record.sample: {share: 0.1, by: lang, shares: {be: 1.0, ca: 0.5}}
    """

    share: float = Field(1.0, ge=0.0, le=1.0, description="Share of the records to keep, 0 to 1.")
    by: str | None = Field(None, description="Metadata column of the labels that `shares` names.")
    shares: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]] = Field(
        default={}, description="Share by label, 0 to 1; records of other labels are kept by `share`. Needs `by`."
    )

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        if (self.by is None) != (not self.shares):
            raise ValueError("by and shares must be given together")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check that the column exists."""
        check_label(schema, self.by)
        return schema

    def reads(self) -> frozenset[str]:
        """None."""
        return frozenset()

    @property
    def random(self) -> bool:
        """True: a number decides on each record."""
        return True

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:
        """Return the record, or a Reject."""
        label = label_of(record, self.by)
        share = self.shares.get(label, self.share)
        if rng.random() < share:
            return record
        return Reject("filtered", "not in the sample", f"share {share}" + (f" of {self.by} {label!r}" if self.by else ""))


def is_empty(value: Value) -> bool:
    """Whether a value holds nothing: only white space, or no ids, pixels, samples, numbers or bytes."""
    match value:
        case Text():
            return not value.text.strip()
        case Tokens():
            return len(value.ids) == 0
        case Array():
            return value.array.size == 0
        case _:
            return not value.data if isinstance(value.data, bytes) else value.data.size == 0


def check_fields(schema: Schema, names: Iterable[str]) -> None:
    """Raise RecipeError for the first name that is no field of the schema."""
    for name in names:
        if name not in schema.fields:
            known = ", ".join(repr(field) for field in schema.fields) or "none"
            raise RecipeError(f"there is no field {name!r}; the fields here are {known}")


def check_label(schema: Schema, column: str | None) -> None:
    """Raise RecipeError where there is no such metadata column, or its values are no labels."""
    if column is None:
        return
    _check_columns(schema, [column])
    if schema.metadata[column] not in {"str", "int", "bool"}:
        raise RecipeError(f"metadata column {column!r} is of type {schema.metadata[column]}; labels are str, int or bool")


def label_of(record: Record, column: str | None) -> str:
    """Return the label of a record as text: that of a truth is `true` or `false`; empty where there is no column."""
    value = "" if column is None else record.metadata[column]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_columns(schema: Schema, names: Iterable[str]) -> None:
    for name in names:
        if name not in schema.metadata:
            known = ", ".join(repr(column) for column in schema.metadata) or "none"
            raise RecipeError(f"there is no metadata column {name!r}; the columns here are {known}")


def _check_new_names(what: str, found: Iterable[str], names: Mapping[str, str]) -> None:
    renamed = [names.get(name, name) for name in found]
    for name in renamed:
        if renamed.count(name) > 1:
            raise RecipeError(f"two {what} would have the name {name!r}")
