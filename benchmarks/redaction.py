"""Measure the detectors of personal data on labelled lines: precision and recall by kind and by language, spans exact.

    python -m benchmarks.redaction [--split test] [--wrong] [--json FILE]

The lines (`benchmarks/data/redaction.jsonl`: language, split, text, entities [[start, end, kind], …]) were written for this
purpose, with values that are reserved, published for tests, or valid by their check digits but given to nobody. Rules were
tuned on `dev` alone; the numbers to quote are those of `test`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mmdata.text.matches import KINDS
from mmdata.text.personal_data import Search
from mmdata.text.phones import regions_of

DATA = Path(__file__).parent / "data" / "redaction.jsonl"
ALL = "all"
Entity = tuple[int, int, str]


@dataclass(frozen=True)
class Line:
    """A labelled line."""

    language: str
    split: str
    text: str
    entities: frozenset[Entity]


def read_lines(path: Path = DATA) -> list[Line]:
    """Return the labelled lines of a file."""
    rows: Iterator[dict[str, Any]] = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [
        Line(row["language"], row["split"], row["text"], frozenset((start, end, kind) for start, end, kind in row["entities"]))
        for row in rows
    ]


def found_in(line: Line) -> frozenset[Entity]:
    """Return what the detectors find in a line, with the regions of its language for telephone numbers."""
    matches = Search(KINDS, regions_of(line.language))(line.text)
    return frozenset((match.start, match.end, match.kind) for match in matches)


def score(lines: Iterable[Line]) -> dict[str, Counter[str]]:
    """Return counts of `right`, `missed` and `invented` spans by kind, by language, and for all."""
    counts: dict[str, Counter[str]] = {}
    for line in lines:
        found = found_in(line)
        for outcome, entities in (
            ("right", found & line.entities),
            ("missed", line.entities - found),
            ("invented", found - line.entities),
        ):
            for *_, kind in entities:
                for group in (kind, f"language {line.language}", ALL):
                    counts.setdefault(group, Counter())[outcome] += 1
    return counts


def rates(counts: Counter[str]) -> dict[str, float]:
    """Return precision and recall, 1 where there is nothing to be wrong about, and the number of labelled spans."""
    right, labelled = counts["right"], counts["right"] + counts["missed"]
    found = right + counts["invented"]
    return {"precision": right / found if found else 1.0, "recall": right / labelled if labelled else 1.0, "spans": labelled}


def _show(results: dict[str, Counter[str]], title: str) -> None:
    table = Table("", "spans", "precision", "recall", title=title)
    for group in sorted(results, key=lambda group: (group == ALL, group)):
        rate = rates(results[group])
        table.add_row(group, f"{rate['spans']:.0f}", f"{rate['precision']:.3f}", f"{rate['recall']:.3f}")
    Console().print(table)


def _show_wrong(lines: Iterable[Line]) -> None:
    for line in lines:
        found = found_in(line)
        for outcome, entities in (("missed", line.entities - found), ("invented", found - line.entities)):
            for start, end, kind in sorted(entities):
                print(f"{outcome} {kind} {line.text[start:end]!r} in [{line.language}] {line.text}")


def main() -> None:
    """Score one split and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--wrong", action="store_true", help="list every span missed or invented")
    parser.add_argument("--json", type=Path, help="write the rates here")
    options = parser.parse_args()
    lines = [line for line in read_lines() if line.split == options.split]
    began = time.perf_counter()
    results = score(lines)
    seconds = time.perf_counter() - began
    characters = sum(len(line.text) for line in lines)
    negatives = sum(not line.entities for line in lines)
    title = f"{options.split}: {len(lines)} lines, {negatives} without personal data, {characters / seconds:,.0f} characters/s"
    _show(results, title)
    if options.wrong:
        _show_wrong(lines)
    if options.json:
        options.json.write_text(
            json.dumps({group: rates(counts) for group, counts in results.items()}, indent=2), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
