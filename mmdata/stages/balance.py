"""`record.balance`: counts the labels of the corpus in a fit pass, then keeps exactly as many records of each as asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from mmdata.dataset import SPLITS
from mmdata.errors import RecipeError
from mmdata.record import Record, Reject
from mmdata.rng import digest_of
from mmdata.schema import Schema
from mmdata.stages.base import JudgingStage, Outcome
from mmdata.stages.record import check_label, label_of

_FILE = "balance.json"
_SCHEMA = pa.schema([("split", pa.string()), ("label", pa.string()), ("digest", pa.binary(16))])

Counts = Mapping[str, int]


class Balance(JudgingStage):
    """Keeps exactly so many records of each label: a highest number, or numbers in given proportions.

    Labels are the values of a metadata column. Each split is balanced by itself. Which records are kept is decided by the order
    of a hash of their keys. With proportions the numbers are the largest that there are records for, and labels that are not
    named are rejected; a named label that a split does not have is left out of its proportions. What stages before turn away is
    not counted, so they run twice: balance early.

    Example:
        - record.balance: {by: lang, most: 1000}
    """

    every_split: ClassVar[bool] = True

    by: str = Field(description="Metadata column of the labels (str, int or bool).")
    most: int | None = Field(None, ge=1, description="Most records of a label in a split.")
    proportions: Literal["equal"] | dict[str, Annotated[float, Field(gt=0.0, allow_inf_nan=False)]] | None = Field(
        None, description="Parts by label, above 0, such as {fr: 2, de: 1}; or equal: as many of each as of the rarest."
    )
    seed: int = Field(0, description="Another seed keeps other records.")

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if (self.most is None) == (self.proportions is None):
            raise ValueError("give most or proportions, one of them")
        if self.proportions == {}:
            raise ValueError("proportions must name a label")
        return self

    def infer(self, schema: Schema) -> Schema:
        """Check that the column exists and holds labels."""
        check_label(schema, self.by)
        return schema

    def reads(self) -> frozenset[str]:
        """None: once it has learned, label and key decide."""
        return frozenset()

    def observes(self) -> frozenset[str]:
        """All fields: what any stage before turns away must not be counted."""
        return frozenset("*")

    @property
    def files(self) -> tuple[str, ...]:
        """The counts."""
        return (_FILE,)

    def observe(self, records: Iterable[Record]) -> pa.Table:
        """Return columns `split`, `label` and `digest`, which orders the records of a label."""
        lines = [
            {"split": record.origin.split, "label": label_of(record, self.by), "digest": self._digest(record)}
            for record in records
        ]
        return pa.Table.from_pylist(lines, schema=_SCHEMA)

    def reduce(self, observations: pa.Table) -> dict[str, bytes]:
        """Return, by split and label, how many there are, how many are kept, and the digest of the last one kept."""
        groups: dict[str, dict[str, list[bytes]]] = {split: {} for split in SPLITS}
        for split, label, digest in zip(*(column.to_pylist() for column in observations.columns), strict=True):
            groups[split].setdefault(label, []).append(digest)
        self._check_labels({label for labels in groups.values() for label in labels})
        learned = {split: self._balanced(labels) for split, labels in groups.items() if labels}
        return {_FILE: json.dumps(learned, sort_keys=True, separators=(",", ":")).encode()}

    def verdicts(self, observations: pa.Table) -> list[str]:
        """Return for each record observed its label, where it is one too many."""
        lines = zip(*(column.to_pylist() for column in observations.columns), strict=True)
        return [f"over {label}" if self._is_over(split, label, digest) else "" for split, label, digest in lines]

    def _is_over(self, split: str, label: str, digest: bytes) -> bool:
        found = _learned(self.learned[_FILE]).get(split, {}).get(label)
        # A fit pass that leaves out stages may show a record that was not counted: it stays.
        return found is not None and digest.hex() > found["last"]

    def _check_labels(self, found: set[str]) -> None:
        """Raise RecipeError for a label in the proportions that no record has."""
        missing = sorted(set(self.proportions) - found) if isinstance(self.proportions, dict) else []
        if missing:
            raise RecipeError(f"no record that comes to {self.stage} has {self.by} {missing[0]!r}; there are {sorted(found)}")

    def _balanced(self, labels: Mapping[str, list[bytes]]) -> dict[str, dict[str, Any]]:
        kept = self._kept({label: len(digests) for label, digests in labels.items()})
        return {
            label: {
                "there": len(digests),
                "kept": kept[label],
                "last": sorted(digests)[kept[label] - 1].hex() if kept[label] else "",
            }
            for label, digests in labels.items()
        }

    def _kept(self, counts: Counts) -> dict[str, int]:
        """Return how many records of each label are kept."""
        if self.proportions is None:
            assert self.most is not None
            return {label: min(count, self.most) for label, count in counts.items()}
        parts = dict.fromkeys(counts, 1.0) if self.proportions == "equal" else self.proportions
        assert isinstance(parts, dict)
        # Fractions: a float that is rounded must not cost a record.
        exact = {label: Fraction(str(part)) for label, part in parts.items() if label in counts}
        scale = min((counts[label] / part for label, part in exact.items()), default=Fraction(0))
        return {label: int(exact.get(label, Fraction(0)) * scale) for label in counts}

    def __call__(self, record: Record, rng: np.random.Generator) -> Outcome:  # noqa: ARG002 - the interface of every stage
        """Return the record, or a Reject that names its label; how many of it are kept stands in the artifact."""
        label = label_of(record, self.by)
        if not self._is_over(record.origin.split, label, self._digest(record)):
            return record
        return Reject("filtered", "over the balance", f"{self.by} {label!r}")

    def _digest(self, record: Record) -> bytes:
        return digest_of("balance", self.seed, record.key)


@lru_cache(maxsize=8)
def _learned(content: bytes) -> dict[str, dict[str, dict[str, Any]]]:
    learned: dict[str, dict[str, dict[str, Any]]] = json.loads(content)
    return learned
