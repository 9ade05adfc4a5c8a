"""A record: one example on its way through the stages; and a reject: why one did not get through."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from mmdata.errors import RecordError, is_memory_error
from mmdata.schema import renamed_measures
from mmdata.values import Value

Scalar = str | int | float | bool
RejectKind = Literal["error", "filtered", "duplicate"]

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")
LONGEST_DETAIL = 1000


@dataclass(frozen=True)
class Provenance:
    """Where a raw input came from: its place in the corpus, and the sha256 and size of its bytes."""

    uri: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Origin:
    """The input row of a record: its key as the source has it, split, group, and raw inputs: `FIELD`, or `FIELD.segments`.

    `row` is its number in the source: -1 where it is not known, since a record that is read from a shard does not hold it.
    """

    row: int
    source_key: str
    split: str
    group: str
    inputs: Mapping[str, Provenance] = field(default_factory=dict)

    @property
    def absent(self) -> list[str]:
        """The raw fields that the row does not have."""
        return [name for name, place in self.inputs.items() if not place.uri and "." not in name]


@dataclass(frozen=True, eq=False)
class Record:
    """A key, named fields, metadata (scalars from the source) and measures (scalars that stages computed).

    A measure is named `FIELD.MEASURE`, for instance `audio.snr`; measures land in the index.
    """

    key: str
    fields: Mapping[str, Value]
    origin: Origin
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    measures: Mapping[str, Scalar] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Value:
        return self.fields[name]

    def with_fields(self, **values: Value) -> Record:
        """Return a copy in which these fields hold these values."""
        return Record(self.key, {**self.fields, **values}, self.origin, self.metadata, self.measures)

    def without(self, *names: str) -> Record:
        """Return a copy without these fields and their measures."""
        fields = {name: value for name, value in self.fields.items() if name not in names}
        measures = {name: value for name, value in self.measures.items() if name.split(".")[0] not in names}
        return replace(self, fields=fields, measures=measures)

    def renamed(self, names: Mapping[str, str]) -> Record:
        """Return a copy in which fields, where they are there, and their measures have other names (old to new)."""
        fields = {names.get(name, name): value for name, value in self.fields.items()}
        return replace(self, fields=fields, measures=renamed_measures(self.measures, names))

    def with_measures(self, measures: Mapping[str, Scalar]) -> Record:
        """Return a copy with these measures added."""
        return replace(self, measures={**self.measures, **measures})


@dataclass(frozen=True)
class Reject:
    """Why a record goes no further: a short reason that can be counted, and the detail of this one."""

    kind: RejectKind
    reason: str
    detail: str = ""

    @classmethod
    def of(cls, error: BaseException, who: str) -> Reject:
        """Return the reject of a record at which `who` (stage, encoder) raised an error.

        Addresses in the error's text are left out: they would differ from build to build.
        """
        if isinstance(error, RecordError):
            return cls("error", error.reason, error.detail)
        if is_memory_error(error):
            return cls("error", "memory exhausted", f"{who} took more than limits.memory allows")
        return cls("error", f"{who} raised {type(error).__name__}", _ADDRESS.sub("0x…", str(error))[:LONGEST_DETAIL])


def printable(text: str) -> str:
    """Return a text of an error or a reject as UTF-8 can hold it: a lone surrogate is shown by its number."""
    return text.encode("utf-8", "backslashreplace").decode()
