"""What validation says: findings, and how many items each check looked at.

Checks of one shard collect in a ledger of their own; ledgers are added up in the order of the shards, so that the result does
not depend on who checked what.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

Severity = Literal["error", "warning"]

CHECKS: dict[str, str] = {
    "description": "dataset.json is whole: format, shape and checksum",
    "counts": "rows, records, splits and rejects add up",
    "files": "the folder holds the files of the dataset and nothing else",
    "checksums": "every file has the size and the sha256 that dataset.json gives",
    "blocks": "every header, every padding and the end of a tar are byte for byte as they must be",
    "members": "the members of a record stand together, sorted, with the same extensions in every record",
    "keys": "keys are valid, and unique in the dataset",
    "index": "the index has its columns and types, and belongs to this shard",
    "places": "every member stands where the index says, with its size and crc32",
    "json": "the json member has exactly the promised keys, each of its type",
    "agreement": "the json member, the index and the shard say the same",
    "payloads": "every payload decodes, and is what the schema says",
    "measures": "measures agree with the decoded payloads",
    "tokens": "token ids are those of the stored text, and their offsets lie in it",
    "annotations": "annotations are well formed and lie inside of what they annotate",
    "lineage": "lineage is well formed and takes annotations back to the raw data",
    "groups": "every group stands in one split, the one that the recipe gives it",
    "rejects": "the rejects table has its columns, kinds and reasons",
    "rows": "every input row is written or rejected",
    "statistics": "the statistics in dataset.json are those of the index",
}
"""What each check looks at, in the order in which they are shown."""

_LONGEST_TEXT = 400
_MOST_KEPT = 200


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and where: the file, the record and its member as far as they are known."""

    check: str
    severity: Severity
    file: str
    record: str | None
    member: str | None
    message: str

    def to_json(self) -> dict[str, str | None]:
        """Return plain data."""
        return asdict(self)

    @property
    def place(self) -> str:
        """Where it is, in words: the file, then record and member where they are known."""
        member = f" .{self.member}" if self.member else ""
        record = f", record {self.record}" if self.record else ""
        return f"{self.file}{record}{member}"


@dataclass
class Ledger:
    """Findings and counts by check. Of each check the first findings are kept; all of them are counted."""

    findings: list[Finding] = field(default_factory=list)
    items: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it unless there are many of its check already."""
        if self.errors[finding.check] + self.warnings[finding.check] < _MOST_KEPT:
            self.findings.append(finding)
        (self.errors if finding.severity == "error" else self.warnings)[finding.check] += 1

    def absorb(self, other: Ledger) -> None:
        """Add up another ledger after this one."""
        room = {check: _MOST_KEPT - self.errors[check] - self.warnings[check] for check in CHECKS}
        for finding in other.findings:
            if room[finding.check] > 0:
                self.findings.append(finding)
                room[finding.check] -= 1
        self.items += other.items
        self.errors += other.errors
        self.warnings += other.warnings


@dataclass(frozen=True)
class Notes:
    """Writes findings about one place, a file or one of its records or members, into a ledger."""

    ledger: Ledger
    file: str
    record: str | None = None
    member: str | None = None

    def at(self, record: str, member: str | None = None) -> Self:
        """Return notes on a record of the same file, or on one of its members."""
        return replace(self, record=_name(record), member=None if member is None else _name(member))

    def on(self, file: str) -> Self:
        """Return notes on another file."""
        return replace(self, file=_name(file), record=None, member=None)

    def covered(self, check: str, items: int = 1) -> None:
        """Count items that a check looked at."""
        self.ledger.items[check] += items

    def error(self, check: str, message: str) -> None:
        """Note that a promise is broken here."""
        self._add("error", check, message)

    def warning(self, check: str, message: str) -> None:
        """Note something odd that breaks no promise."""
        self._add("warning", check, message)

    def _add(self, severity: Severity, check: str, message: str) -> None:
        self.ledger.add(Finding(check, severity, self.file, self.record, self.member, plain(message)))


def plain(text: str) -> str:
    """Return a text that can be written as UTF-8 and is not too long to read; a damaged file may hold anything."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."


def _name(text: str) -> str:
    """Return a name on one line: a file may be called so that what stands behind a line break looks like our own words."""
    return plain(text).replace("\n", "\\n").replace("\r", "\\r")


def shown(value: Any) -> str:  # noqa: ANN401 - whatever a damaged file holds
    """Return a value as it stands in a message."""
    return plain(repr(value)) if len(repr(value)) <= 80 else f"{plain(repr(value))[:77]}..."
