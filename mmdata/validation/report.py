"""The report of a validation: what was looked at, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmdata.validation.findings import CHECKS, Finding, Ledger
from mmdata.validation.shard import Facts

_BINS = 24
_LARGEST = 1e15
"""Measures beyond it, which only damage gives, are not drawn: bins between them have no width that a float could hold."""


@dataclass(frozen=True)
class CheckResult:
    """One check: what it looks at, how many items it covered, and how many findings there were."""

    name: str
    about: str
    items: int
    errors: int
    warnings: int


@dataclass(frozen=True)
class Histogram:
    """How often the values of a measure lie in each of some bins of equal width between its minimum and maximum.

    `edges` are one more than `counts`; the bins of whole numbers are a whole number wide, the last may reach past the maximum.
    """

    minimum: float
    maximum: float
    edges: Sequence[float]
    counts: Sequence[int]

    @classmethod
    def of(cls, values: np.ndarray[Any, Any]) -> Histogram:
        """Count finite values."""
        low, high = float(values.min()), float(values.max())
        if values.dtype.kind == "i":
            width = max(1, -(-int(high - low + 1) // _BINS))
            edges = np.arange(low, high + width + 1, width)
        else:
            edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
        counts, _ = np.histogram(values, edges)
        return cls(low, high, [float(edge) for edge in edges], [int(count) for count in counts])


@dataclass(frozen=True)
class Report:
    """What a validation looked at and what it found. Of each check the first findings are listed; all are counted.

    `counts` has `shards`, `records`, `bytes`, and under `splits` records by split, as they were found.
    """

    out: str
    checksum: str
    counts: Mapping[str, Any]
    checks: Sequence[CheckResult]
    findings: Sequence[Finding]
    histograms: Mapping[str, Histogram]

    @classmethod
    def of(cls, out: str, checksum: str, ledger: Ledger, facts: Sequence[Facts], size: int) -> Report:
        """Sum up a ledger and the facts of all shards; `size` is the bytes of all shards."""
        splits: dict[str, int] = {}
        for one in facts:
            splits[one.shard.split] = splits.get(one.shard.split, 0) + len(one.keys)
        counts = {"shards": len(facts), "records": sum(splits.values()), "bytes": size, "splits": splits}
        checks = [
            CheckResult(name, about, ledger.items[name], ledger.errors[name], ledger.warnings[name])
            for name, about in CHECKS.items()
        ]
        return cls(out, checksum, counts, checks, ledger.findings, _histograms(facts))

    @property
    def ok(self) -> bool:
        """Whether no promise is broken; warnings break none."""
        return not self.errors

    @property
    def errors(self) -> int:
        """Number of errors found."""
        return sum(check.errors for check in self.checks)

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return sum(check.warnings for check in self.checks)

    def findings_of(self, check: str) -> list[Finding]:
        """The findings of one check, as far as they are listed."""
        return [finding for finding in self.findings if finding.check == check]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "ok": self.ok,
            "errors": self.errors,
            "warnings": self.warnings,
            "out": self.out,
            "checksum": self.checksum,
            "counts": dict(self.counts),
            "checks": [asdict(check) for check in self.checks],
            "findings": [finding.to_json() for finding in self.findings],
            "histograms": {name: asdict(histogram) for name, histogram in self.histograms.items()},
        }


def _histograms(facts: Sequence[Facts]) -> dict[str, Histogram]:
    names = dict.fromkeys(name for one in facts for name in one.measures)
    found = {}
    for name in names:
        parts = [one.measures[name] for one in facts if len(one.measures.get(name, ()))]
        if parts and np.abs(values := np.concatenate(parts)).max() < _LARGEST:
            found[name] = Histogram.of(values)
    return found
