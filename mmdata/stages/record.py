"""Stages over whole records: `record.require`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import Field

from mmdata.errors import RecipeError
from mmdata.record import Record, Reject
from mmdata.schema import Schema
from mmdata.stages.base import Outcome, Stage
from mmdata.values import Array, Text, Tokens, Value


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
        # The inputs name every raw field, those included that the row does not have.
        for name in self.fields or dict.fromkeys([*record.origin.inputs, *record.fields]):
            if name not in record.fields:
                return Reject("filtered", f"{name} is missing")
            if is_empty(record[name]):
                return Reject("filtered", f"{name} is empty")
        return record


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
