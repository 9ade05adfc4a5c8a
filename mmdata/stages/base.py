"""What a stage is: a frozen, typed configuration that maps a record to a record, and a schema to a schema.

A stage keeps no state, draws random numbers only from the generator it is handed, and never changes its input. One that has to
see the corpus first is a `FitStage`: it observes rows in parallel, reduces what it saw in row order, and is then `fitted`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, PrivateAttr

from mmdata.record import Record, Reject
from mmdata.schema import FieldType, Schema
from mmdata.values import Kind, V, Value

Outcome = Record | Reject | list[Record]
T = TypeVar("T")


class Stage(BaseModel):
    """Base of every stage: options as fields (frozen, no unknown ones), `infer` for schemas, `__call__` for records."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    version: ClassVar[int] = 1
    """Raise it when the stage's output changes for the same options: it enters the fingerprint."""

    conceals: ClassVar[bool] = False
    """Whether what the stage removes must not be told by a digest either: of a short text, that is found by trial."""

    keeps_all: ClassVar[bool] = False
    """Whether the stage gives one record for every record or fails: it turns none away for what it is, as a filter does."""

    @property
    def random(self) -> bool:
        """Whether the stage draws random numbers; the generator of one that does not refuses to give any."""
        return False

    @property
    def stage(self) -> str:
        """The name by which recipes, rejects and lineage know the stage."""
        from mmdata.stages import name_of  # the table of stages imports every stage, and they import this module

        return name_of(type(self))

    @abstractmethod
    def infer(self, schema: Schema) -> Schema:
        """Return the schema of what comes out. Raises RecipeError where the stage cannot work on what comes in."""

    @abstractmethod
    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:
        """Return the record changed, a Reject, or several records.

        Raises RecordError where the data cannot be used; the build turns it into a reject of kind `error`.
        """

    def carried(self, by_field: Mapping[str, T]) -> dict[str, T]:
        """Return what was known of fields, by their names before the stage, by their names after it: by default the same."""
        return dict(by_field)

    def reads(self) -> frozenset[str]:
        """The fields whose values the stage looks at; a fit pass runs only the stages that it depends on.

        By default that is `field`, and where there is no such option `frozenset({"*"})`: every field that there is at this stage.
        A stage that reads none runs in every fit pass after it: it costs nothing, and what it turns away is not learned from.
        """
        name = getattr(self, "field", None)
        return frozenset([name] if isinstance(name, str) else ["*"])


class FieldStage(Stage, Generic[V]):
    """Base of the stages that look at one field alone: finds it, checks it, puts the result back.

    A subclass gives `field` a default, `kind`, and `apply`; and `infer_field` where the type of the field changes. `apply` of
    a stage that is not `random` is a pure function of the value, so a build may keep its latest results.
    """

    kind: ClassVar[Kind]
    encoded: ClassVar[bool | None] = False
    """Whether the field must still be encoded: False, True, or None for either."""

    field: str

    def infer(self, schema: Schema) -> Schema:
        """Check the field and replace its type by `infer_field`'s."""
        found = schema.require(self.field, self.kind, encoded=self.encoded)
        return schema.with_field(self.field, self.infer_field(found))

    def infer_field(self, type_: FieldType) -> FieldType:
        """Return the type of the field after the stage: by default the same."""
        return type_

    @abstractmethod
    def apply(self, value: V, rng: np.random.Generator) -> V | Value | Reject | list[V]:
        """Return the new value of the field, a Reject, or several values: each of them becomes a record."""

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:
        """Apply the stage to its field; a record that lacks it passes unchanged."""
        if self.field not in record.fields:
            return record
        return self.put_back(record, self.apply(cast("V", record[self.field]), rng))

    def put_back(self, record: Record, result: V | Value | Reject | list[V]) -> Outcome:
        """Return what becomes of a record whose field gave this result."""
        if isinstance(result, Reject):
            return result
        if isinstance(result, list):
            return [self._with(record, value) for value in result]
        return self._with(record, result)

    def _with(self, record: Record, value: V | Value) -> Record:
        if not isinstance(value, Value):
            raise TypeError(f"apply returned {type(value).__name__}, which is not a value")
        return record.with_fields(**{self.field: value})


class FitStage(Stage):
    """Base of the stages that learn from the corpus before they run.

    `observe` runs in parallel over tasks of rows, `reduce` once over all observations in row order; what it returns is saved
    under `artifacts/`, and `fitted` gives the stage that holds it. Both must be deterministic.
    """

    every_split: ClassVar[bool] = False
    """Whether the stage observes all rows; by default it learns from the train split alone."""

    _learned: Mapping[str, bytes] | None = PrivateAttr(default=None)

    def observes(self) -> frozenset[str]:
        """The fields that `observe` looks at, as `reads` says it of the stage itself: by default the same."""
        return self.reads()

    @property
    @abstractmethod
    def files(self) -> tuple[str, ...]:
        """The names of the files that `reduce` returns."""

    @abstractmethod
    def observe(self, records: Iterable[Record]) -> pa.Table:
        """Return what matters of some records, as a table; tables of all tasks are concatenated in row order."""

    @abstractmethod
    def reduce(self, observations: pa.Table) -> dict[str, bytes]:
        """Return the files learned: name to content. They hold no row numbers, which change with the rows before."""

    @property
    def needs_fit(self) -> bool:
        """Whether the stage must still learn (its options may give it all it needs)."""
        return self._learned is None

    @property
    def learned(self) -> Mapping[str, bytes]:
        """The files learned. Raises RuntimeError before the fit pass."""
        if self._learned is None:
            raise RuntimeError(f"{self.stage} is used before its fit pass")
        return self._learned

    def statistics(self) -> dict[str, Any]:
        """What of it belongs among the statistics in `dataset.json`, by field; plain data."""
        return {}

    def check_given(self, files: Mapping[str, bytes], made_by: Mapping[str, Any]) -> None:
        """Raise RecipeError where files learned elsewhere are none that these options could give: by default, any are taken.

        `made_by` are the options of the stage that learned them; there are none where that is not known.
        """

    def fitted(self, files: Mapping[str, bytes]) -> Self:
        """Return a copy that holds what was learned."""
        copy = self.model_copy()
        copy._learned = dict(files)
        return copy


class JudgingStage(FitStage):
    """Base of the stages that decide about each record by what they saw of all others: which are duplicates, or too many.

    What other fit stages learn is kept when rows are added to a dataset. A judgement is not: it is made anew over all rows, from
    what was observed of the old ones and is kept, and of the new ones. So `observe` gives one line for each record, in order.
    """

    @abstractmethod
    def verdicts(self, observations: pa.Table) -> list[str]:
        """Return what the fitted stage decides about each record observed: empty where it stays, else all that its reject says.

        The stage must do the same with a record of which it is told the same, whatever became of others.
        """


def options_of(stage: Stage) -> dict[str, Any]:
    """Return the options of a stage as plain data, defaults included: what a fingerprint needs."""
    return stage.model_dump(mode="json")
